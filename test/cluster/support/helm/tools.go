//go:build tools

// Package tools fixes what Helm is built from.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
