//go:build tools

// Package tools fixes what h2spec is built from.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
