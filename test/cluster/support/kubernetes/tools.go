//go:build tools

// Package tools names the programs that are built here, so that go.mod and go.sum fix all that goes into them.
package tools

import (
	_ "k8s.io/apiextensions-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
