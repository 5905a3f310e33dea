package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/rsocket/rsocket-go"
	"github.com/rsocket/rsocket-go/core"
	"github.com/rsocket/rsocket-go/extension"
	"github.com/rsocket/rsocket-go/payload"
	"github.com/rsocket/rsocket-go/rx/flux"
	"github.com/rsocket/rsocket-go/rx/mono"
)

const (
	applicationError = 0x201
	customError      = 0x401
)

// service is what every responder serves, in rsocket-go's terms.
type service struct {
	fnf, cancels atomic.Int64
}

func newService() *service { return &service{} }

func (s *service) socket() rsocket.RSocket {
	return rsocket.NewAbstractSocket(
		rsocket.RequestResponse(s.single),
		rsocket.FireAndForget(func(payload.Payload) { s.fnf.Add(1) }),
		rsocket.RequestStream(s.stream),
		rsocket.RequestChannel(func(items flux.Flux) flux.Flux {
			return items.Map(func(item payload.Payload) (payload.Payload, error) {
				return payload.New(clone(item.Data()), nil), nil
			})
		}),
	)
}

func (s *service) single(request payload.Payload) mono.Mono {
	data := clone(request.Data())
	switch method(request) {
	case "ping":
		return just([]byte("pong"))
	case "echo":
		return just(data)
	case "echo-metadata":
		metadata, _ := request.Metadata()
		return just(clone(metadata))
	case "empty":
		return mono.Empty()
	case "fnf-count":
		return just(strconv.AppendInt(nil, s.fnf.Load(), 10))
	case "cancel-count":
		return just(strconv.AppendInt(nil, s.cancels.Load(), 10))
	case "fail":
		return mono.Error(errors.New(string(data)))
	case "fail-custom":
		return mono.Error(fault{customError, data})
	default:
		return mono.Error(fmt.Errorf("no method %q", method(request)))
	}
}

func (s *service) stream(request payload.Payload) flux.Flux {
	text := string(request.Data())
	switch method(request) {
	case "range":
		words := strings.Fields(text)
		count, size := number(words, 0), number(words, 1)
		return numbered(func(i int) ([]byte, error) {
			if i == count {
				return nil, io.EOF
			}
			return padded(i, size), nil
		}, func() {})
	case "forever":
		return numbered(
			func(i int) ([]byte, error) { return padded(i, 0), nil },
			func() { s.cancels.Add(1) },
		)
	case "fail-after":
		return numbered(func(i int) ([]byte, error) {
			if i == 3 {
				return nil, errors.New(text)
			}
			return padded(i, 0), nil
		}, func() {})
	default:
		return flux.Error(fmt.Errorf("no method %q", method(request)))
	}
}

// fault is an error with a code of its own.
type fault struct {
	code core.ErrorCode
	text []byte
}

func (f fault) Error() string             { return string(f.text) }
func (f fault) ErrorCode() core.ErrorCode { return f.code }
func (f fault) ErrorData() []byte         { return f.text }

func method(request payload.Payload) string {
	metadata, _ := request.Metadata()
	entries := extension.NewCompositeMetadataBytes(metadata).Scanner()
	for entries.Scan() {
		mime, content, err := entries.Metadata()
		if err != nil || mime != extension.MessageRouting.String() {
			continue
		}
		if tags, err := extension.ParseRoutingTags(content); err == nil && len(tags) > 0 {
			return tags[0][strings.LastIndexByte(tags[0], '.')+1:]
		}
	}
	return ""
}

// padded is an item that begins with its number; size pads it with dots.
func padded(i, size int) []byte {
	item := strconv.AppendInt(make([]byte, 0, max(size, 20)), int64(i), 10)
	for len(item) < size {
		item = append(item, '.')
	}
	return item
}

func number(words []string, i int) int {
	if i >= len(words) {
		return 0
	}
	n, _ := strconv.Atoi(words[i])
	return n
}

// clone keeps bytes that the library will use again.
func clone(bytes []byte) []byte { return append([]byte{}, bytes...) }

func just(data []byte) mono.Mono { return mono.Just(payload.New(data, nil)) }
