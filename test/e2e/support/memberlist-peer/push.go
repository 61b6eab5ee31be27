package main

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// As OpenKruise's managers push: to a fixed port of every member that is alive, with short tries.
const (
	pushTimeout = 100 * time.Millisecond
	pushTries   = 10
	pushPause   = 10 * time.Millisecond
)

// managersClient keeps one connection for all pushes to a member, and sends from the manager's own address as a pod does.
func managersClient(addr string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	return &http.Client{Timeout: pushTimeout, Transport: &http.Transport{DialContext: dialer.DialContext}}
}

// push sends a route to all others at once and says what each answered; 0 when a member did not answer.
func push(list *memberlist.Memberlist, client *http.Client, number int, body string) {
	var all sync.WaitGroup
	var lock sync.Mutex
	answers := map[string]int{}
	for _, n := range list.Members() {
		if n.Name == list.LocalNode().Name {
			continue
		}
		all.Add(1)
		go func(addr string) {
			defer all.Done()
			status := pushTo(client, "http://"+net.JoinHostPort(addr, "7789")+"/refresh", body)
			lock.Lock()
			defer lock.Unlock()
			answers[addr] = status
		}(n.Addr.String())
	}
	all.Wait()
	say(map[string]any{"event": "pushed", "push": number, "answers": answers})
}

func pushTo(client *http.Client, url, body string) int {
	status := 0
	for try := 0; try < pushTries; try++ {
		if try > 0 {
			time.Sleep(pushPause)
		}
		request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		response, err := client.Do(request)
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		status = response.StatusCode
		if status < 500 {
			break
		}
	}
	return status
}
