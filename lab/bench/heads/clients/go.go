// What net/http sends: `go run go.go URL`.
package main

import (
	"net/http"
	"os"
)

func main() {
	_, _ = http.Get(os.Args[1])
}
