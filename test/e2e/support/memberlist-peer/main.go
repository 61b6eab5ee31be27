// One member in hashicorp/memberlist, configured as OpenKruise's managers are, for the tests of src/peers/memberlist.
// Reads its options from the first argument (JSON), commands from standard input, and writes one JSON object per line.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

type options struct {
	Name       string
	Addr       string
	Port       int
	Join       []string
	Keys       [][]byte
	Label      string
	NoCompress bool
	Log        bool
	// Share of the packets that are lost on their way out.
	Loss float64
}

var (
	out  sync.Mutex
	line = json.NewEncoder(os.Stdout)
)

func say(v map[string]any) {
	out.Lock()
	defer out.Unlock()
	if err := line.Encode(v); err != nil {
		os.Exit(1)
	}
}

type events struct{}

func member(event string, n *memberlist.Node) {
	say(map[string]any{"event": event, "name": n.Name, "addr": n.Addr.String(), "port": n.Port,
		"versions": []uint8{n.PMin, n.PMax, n.PCur, n.DMin, n.DMax, n.DCur}, "meta": len(n.Meta)})
}
func (events) NotifyJoin(n *memberlist.Node)   { member("join", n) }
func (events) NotifyLeave(n *memberlist.Node)  { member("leave", n) }
func (events) NotifyUpdate(n *memberlist.Node) { member("update", n) }

func main() {
	if os.Args[1] == "vectors" {
		vectors()
		return
	}
	var o options
	if err := json.Unmarshal([]byte(os.Args[1]), &o); err != nil {
		panic(err)
	}
	c := memberlist.DefaultLANConfig()
	c.Name, c.BindAddr, c.AdvertiseAddr = o.Name, o.Addr, o.Addr
	c.BindPort, c.AdvertisePort = o.Port, o.Port
	c.ProbeInterval, c.ProbeTimeout, c.GossipInterval = 500*time.Millisecond, 200*time.Millisecond, 500*time.Millisecond
	c.GossipNodes, c.SuspicionMult, c.RetransmitMult = 3, 4, 4
	c.EnableCompression, c.Label, c.Events = !o.NoCompress, o.Label, events{}
	if !o.Log {
		c.LogOutput = io.Discard
	}
	if len(o.Keys) > 0 {
		ring, err := memberlist.NewKeyring(o.Keys, o.Keys[0])
		if err != nil {
			panic(err)
		}
		c.Keyring = ring
	}
	transport, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{o.Addr}, BindPort: o.Port, Logger: discard()})
	if err != nil {
		panic(err)
	}
	c.Transport = &lossy{NetTransport: transport, share: o.Loss}
	list, err := memberlist.Create(c)
	if err != nil {
		panic(err)
	}
	say(map[string]any{"event": "ready", "protocol": c.ProtocolVersion})
	if len(o.Join) > 0 {
		joined, err := list.Join(o.Join)
		say(map[string]any{"event": "joined", "joined": joined, "error": text(err)})
	}
	client, number := managersClient(o.Addr), 0
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		if body, ok := strings.CutPrefix(commands.Text(), "push "); ok {
			number++
			go push(list, client, number, body)
			continue
		}
		switch commands.Text() {
		case "members":
			names := []string{}
			for _, n := range list.Members() {
				names = append(names, n.Name+" "+n.Addr.String())
			}
			say(map[string]any{"event": "members", "members": names, "health": list.GetHealthScore()})
		case "leave":
			err := list.Leave(5 * time.Second)
			say(map[string]any{"event": "left", "error": text(err)})
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
