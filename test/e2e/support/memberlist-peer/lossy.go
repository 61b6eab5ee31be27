package main

import (
	"io"
	"log"
	"math/rand"
	"time"

	"github.com/hashicorp/memberlist"
)

// lossy loses packets on their way out.
type lossy struct {
	*memberlist.NetTransport
	share float64
}

func (l *lossy) WriteTo(b []byte, addr string) (time.Time, error) {
	if rand.Float64() < l.share {
		return time.Now(), nil
	}
	return l.NetTransport.WriteTo(b, addr)
}

func (l *lossy) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	if rand.Float64() < l.share {
		return time.Now(), nil
	}
	return l.NetTransport.WriteToAddress(b, addr)
}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }
