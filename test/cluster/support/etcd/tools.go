//go:build tools

// Package tools names the programs that are built here, so that go.mod and go.sum fix all that goes into them.
package tools

import (
	_ "go.etcd.io/etcd/etcdctl/v3"
	_ "go.etcd.io/etcd/etcdutl/v3"
	_ "go.etcd.io/etcd/server/v3"
)
