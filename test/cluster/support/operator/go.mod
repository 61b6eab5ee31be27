// The Prometheus operator's repository, for the CRDs in it: they are read, nothing is built.
module lychgate.test/operator

go 1.26

require github.com/prometheus-operator/prometheus-operator v0.85.0
