package main

import (
	"bytes"
	"compress/lzw"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// memberlist's messages (net.go), which it does not export.

type source struct {
	SourceAddr []byte `codec:",omitempty"`
	SourcePort uint16 `codec:",omitempty"`
	SourceNode string `codec:",omitempty"`
}

type ping struct {
	SeqNo uint32
	Node  string
	source
}

type indirectPingReq struct {
	SeqNo  uint32
	Target []byte
	Port   uint16
	Node   string
	Nack   bool
	source
}

type ackResp struct {
	SeqNo   uint32
	Payload []byte
}

type nackResp struct{ SeqNo uint32 }

type errResp struct{ Error string }

type suspect struct {
	Incarnation uint32
	Node        string
	From        string
}

type alive struct {
	Incarnation uint32
	Node        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Vsn         []uint8
}

type pushPullHeader struct {
	Nodes        int
	UserStateLen int
	Join         bool
}

type pushNodeState struct {
	Name        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Incarnation uint32
	State       int
	Vsn         []uint8
}

type compress struct {
	Algo uint8
	Buf  []byte
}

// vectors prints what Go's libraries write: test/peers/memberlist/vectors.json.
func vectors() {
	four := []byte{10, 1, 2, 3}
	versions := []uint8{1, 5, 2, 0, 0, 0}
	from := source{four, 7946, "sg-a"}
	state := func(name string, state int) any {
		return &pushNodeState{name, four, 7946, nil, 3, state, versions}
	}
	long := strings.Repeat("x", 200)
	mixed := make([]byte, 6000)
	for i := range mixed {
		mixed[i] = byte(i * i >> 3 * 31 >> 2)
	}
	all := map[string]string{
		"ping":             message(0, &ping{7, "sm-b", from}),
		"ping-bare":        message(0, &ping{70000, "", source{}}),
		"indirect-ping":    message(1, &indirectPingReq{300, four, 7946, "sm-b", true, from}),
		"ack":              message(2, &ackResp{200, nil}),
		"ack-payload":      message(2, &ackResp{200, []byte{1, 200}}),
		"suspect":          message(3, &suspect{0xfffffffe, "sm-b", "sg-a"}),
		"alive":            message(4, &alive{1, "sm-b", four, 7946, nil, versions}),
		"alive-long":       message(4, &alive{1 << 16, long, bytes.Repeat([]byte{1}, 16), 65535, bytes.Repeat([]byte{200}, 512), versions}),
		"dead":             message(5, &suspect{5, "sm-b", "sm-b"}),
		"nack":             message(11, &nackResp{255}),
		"error":            message(13, &errResp{"no"}),
		"push-pull":        message(6, &pushPullHeader{4, 0, true}, state("a", 0), state("b", 1), state("c", 2), state("d", 3)),
		"push-pull-300":    message(6, &pushPullHeader{300, 70000, false}),
		"lzw-empty":        compressed(nil),
		"lzw-text":         compressed([]byte("hello hello hello hello")),
		"lzw-zeros-10000":  compressed(make([]byte, 10000)),
		"lzw-mixed-6000":   compressed(mixed),
		"compressed-hello": message(9, &compress{0, raw(compressed([]byte("hello hello")))}),
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

func message(kind byte, parts ...any) string {
	buffer := bytes.NewBuffer([]byte{kind})
	for _, part := range parts {
		handle := codec.MsgpackHandle{}
		handle.TimeNotBuiltin = true
		if err := codec.NewEncoder(buffer, &handle).Encode(part); err != nil {
			panic(err)
		}
	}
	return hex.EncodeToString(buffer.Bytes())
}

func compressed(input []byte) string {
	var buffer bytes.Buffer
	writer := lzw.NewWriter(&buffer, lzw.LSB, 8)
	if _, err := writer.Write(input); err != nil {
		panic(err)
	}
	if err := writer.Close(); err != nil {
		panic(err)
	}
	return hex.EncodeToString(buffer.Bytes())
}

func raw(text string) []byte {
	decoded, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return decoded
}
