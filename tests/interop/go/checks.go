package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rsocket/rsocket-go"
	"github.com/rsocket/rsocket-go/core"
	"github.com/rsocket/rsocket-go/payload"
	"github.com/rsocket/rsocket-go/rx"
	"github.com/rsocket/rsocket-go/rx/flux"
)

const text = "no such order: 42 — ünïcode"

// subject is one service under check.
type subject struct {
	peer     rsocket.Client
	service  string
	items    int
	size     string
	lifetime time.Duration
}

type check struct {
	name    string
	seconds int
	body    func(*subject) (string, error)
}

func checks() []check {
	echo := func(size int) func(*subject) (string, error) {
		return func(s *subject) (string, error) { return s.echo(size) }
	}
	channel := func(sizes ...int) func(*subject) (string, error) {
		return func(s *subject) (string, error) { return s.channel(sizes) }
	}
	lengths := make([]int, 100)
	for i := range lengths {
		lengths[i] = 10 + i*10
	}
	return []check{
		{"rr-0", 10, echo(0)},
		{"rr-1k", 10, echo(1024)},
		{"rr-1m", 20, echo(1024 * 1024)},
		{"rr-metadata", 10, (*subject).metadata},
		{"rr-empty", 10, (*subject).empty},
		{"rr-many", 30, (*subject).many},
		{"stream-credit", 120, func(s *subject) (string, error) { return s.stream(64) }},
		{"stream-endless", 120, func(s *subject) (string, error) { return s.stream(math.MaxInt32) }},
		{"stream-cancel", 10, (*subject).cancel},
		{"channel-echo", 20, channel(lengths...)},
		{"channel-empty", 10, channel(5, 0, 5)},
		{"channel-64k", 20, channel(65_536, 65_537, 65_538)},
		{"fnf", 10, (*subject).fireAndForget},
		{"error-rr", 10, func(s *subject) (string, error) { return s.fails("fail", applicationError) }},
		{"error-custom", 10, func(s *subject) (string, error) { return s.fails("fail-custom", customError) }},
		{"error-stream", 10, (*subject).errorInStream},
		{"unknown-route", 10, (*subject).unknown},
		{"idle", 60, (*subject).idle},
		{"leased", 60, (*subject).leased},
	}
}

// asked names the checks that run only when they are asked for.
var asked = []string{"idle", "leased"}

func runChecks(peer rsocket.Client, o *options) {
	only := strings.Split(o.only, ",")
	brief := strings.Split(o.brief, ",")
	skip := strings.Split(o.skip, ",")
	lines := json.NewEncoder(os.Stdout)
	for _, spec := range strings.Split(o.service, ",") {
		name, items, _ := strings.Cut(spec, ":")
		s := &subject{peer: peer, service: name, items: 1000, size: o.size}
		s.lifetime = time.Duration(o.lifetime) * time.Millisecond
		if n, err := strconv.Atoi(items); err == nil {
			s.items = n
		}
		for _, c := range checks() {
			if o.only == "" && slices.Contains(asked, c.name) || o.only != "" && !slices.Contains(only, c.name) {
				continue
			}
			if slices.Contains(skip, name+"/"+c.name) {
				continue
			}
			if slices.Contains(brief, name+"/"+c.name) {
				c.seconds = 1
			}
			started := time.Now()
			detail, err := within(c, s)
			if err != nil {
				detail = err.Error()
			}
			_ = lines.Encode(map[string]any{
				"service": name, "name": c.name, "ok": err == nil, "detail": detail,
				"ms": time.Since(started).Milliseconds(),
			})
		}
	}
}

// within gives up on a check that hangs; its goroutine is left behind.
func within(c check, s *subject) (string, error) {
	type answer struct {
		detail string
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		detail, err := c.body(s)
		done <- answer{detail, err}
	}()
	select {
	case a := <-done:
		return a.detail, a.err
	case <-time.After(time.Duration(c.seconds) * time.Second):
		return "", fmt.Errorf("nothing after %d s", c.seconds)
	}
}

func call(peer rsocket.RSocket, route string, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, release, err := peer.RequestResponse(payload.New(data, metadata(route))).BlockUnsafe(ctx)
	if err != nil || answer == nil {
		return nil, err
	}
	defer release()
	return clone(answer.Data()), nil
}

func (s *subject) call(method string, data []byte) ([]byte, error) {
	return call(s.peer, s.service+"."+method, data)
}

func (s *subject) count(method string) (int, error) {
	data, err := s.call(method, []byte("x"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(data))
}

func (s *subject) echo(size int) (string, error) {
	sent := pattern(size)
	got, err := s.call("echo", sent)
	if err == nil && !bytes.Equal(got, sent) {
		err = fmt.Errorf("%d bytes back, or other ones", len(got))
	}
	return fmt.Sprint(size, " B"), err
}

// metadata: the responder sends back the request's metadata; the broker must not have touched it.
func (s *subject) metadata() (string, error) {
	got, err := s.call("echo-metadata", []byte("x"))
	if err == nil && !bytes.Equal(got, metadata(s.service+".echo-metadata")) {
		err = errors.New("other metadata")
	}
	return "", err
}

func (s *subject) empty() (string, error) {
	got, err := s.call("empty", []byte("x"))
	if err == nil && len(got) > 0 {
		err = fmt.Errorf("%d bytes", len(got))
	}
	return "", err
}

func (s *subject) many() (string, error) {
	sizes := make(chan int)
	failed := make(chan error, 32)
	for range 32 {
		go func() {
			var err error
			for size := range sizes {
				if _, fault := s.echo(size); fault != nil {
					err = fault
				}
			}
			failed <- err
		}()
	}
	for size := 1; size <= 1000; size++ {
		sizes <- size
	}
	close(sizes)
	var err error
	for range 32 {
		err = errors.Join(err, <-failed)
	}
	return "1000 calls", err
}

// stream takes numbered items, step asked for at a time, and never one uncredited.
func (s *subject) stream(step int) (string, error) {
	request := fmt.Sprint(s.items, " ", s.size)
	items := s.peer.RequestStream(payload.NewString(request, string(metadata(s.service+".range"))))
	received, err := take(items, step, s.items, 0, isNumber)
	if err == nil && received != s.items {
		err = fmt.Errorf("%d items", received)
	}
	return fmt.Sprint(received, " items"), err
}

func (s *subject) cancel() (string, error) {
	before, err := s.count("cancel-count")
	if err != nil {
		return "", err
	}
	items := s.peer.RequestStream(payload.NewString("", string(metadata(s.service+".forever"))))
	if _, err := take(items, 16, 0, 50, isNumber); err != nil {
		return "", err
	}
	return "seen by the responder", s.until("cancel-count", before+1)
}

func (s *subject) channel(sizes []int) (string, error) {
	next := func(i int) ([]byte, error) {
		if i == len(sizes) {
			return nil, io.EOF
		}
		return pattern(sizes[i]), nil
	}
	outgoing := routed(s.service+".echo", next)
	isSent := func(i int, data []byte) bool {
		return i < len(sizes) && bytes.Equal(data, pattern(sizes[i]))
	}
	received, err := take(s.peer.RequestChannel(outgoing), 8, len(sizes), 0, isSent)
	if err == nil && received != len(sizes) {
		err = fmt.Errorf("%d items", received)
	}
	return fmt.Sprint(received, " items"), err
}

func (s *subject) fireAndForget() (string, error) {
	before, err := s.count("fnf-count")
	if err != nil {
		return "", err
	}
	for i := range 10 {
		s.peer.FireAndForget(payload.New(pattern(i), metadata(s.service+".count")))
	}
	return "10 arrived", s.until("fnf-count", before+10)
}

func (s *subject) fails(method string, code core.ErrorCode) (string, error) {
	_, err := s.call(method, []byte(text))
	return refused(err, code, regexp.QuoteMeta(text))
}

func (s *subject) errorInStream() (string, error) {
	items := s.peer.RequestStream(payload.NewString(text, string(metadata(s.service+".fail-after"))))
	received, err := take(items, math.MaxInt32, 0, 0, isNumber)
	if received != 3 {
		return "", fmt.Errorf("%d items, %w", received, err)
	}
	if _, err := refused(err, applicationError, regexp.QuoteMeta(text)); err != nil {
		return "", err
	}
	return "after 3 items", nil
}

func (s *subject) unknown() (string, error) {
	_, err := call(s.peer, "no.such.service", []byte("x"))
	return refused(err, 0x204, "RST-900404.*")
}

// idle says nothing for longer than the lifetime that was announced: keepalive alone must do.
func (s *subject) idle() (string, error) {
	time.Sleep(s.lifetime * 5 / 2)
	return s.echo(100)
}

// leased makes more calls than a lease allows: they are refused and tried again.
func (s *subject) leased() (string, error) {
	refused := 0
	for done := 0; done < 12; {
		if _, err := s.echo(done); err == nil {
			done++
		} else {
			refused++
			time.Sleep(50 * time.Millisecond)
		}
	}
	return fmt.Sprintf("12 calls, %d refused", refused), nil
}

func (s *subject) until(method string, wanted int) error {
	for {
		now, err := s.count(method)
		if err != nil || now == wanted {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// take subscribes and waits for the end; stop is the number of items after which it cancels.
func take(items flux.Flux, step, total, stop int, fits func(int, []byte) bool) (int, error) {
	var received, granted = 0, step
	var running rx.Subscription
	end := make(chan error, 2)
	items.Subscribe(context.Background(),
		rx.OnSubscribe(func(_ context.Context, s rx.Subscription) {
			running = s
			s.Request(step)
		}),
		rx.OnNext(func(item payload.Payload) error {
			if !fits(received, item.Data()) {
				end <- fmt.Errorf("item %d is %.20q", received, item.Data())
				running.Cancel()
				return nil
			}
			received++
			switch {
			case received > granted:
				end <- fmt.Errorf("%d items for a credit of %d", received, granted)
				running.Cancel()
			case received == stop:
				running.Cancel()
				end <- nil
			case received == granted && received != total:
				granted += step
				running.Request(step)
			}
			return nil
		}),
		rx.OnComplete(func() { end <- nil }),
		rx.OnError(func(err error) { end <- err }),
	)
	err := <-end
	return received, err
}

func isNumber(i int, data []byte) bool {
	return string(bytes.TrimRight(data, ".")) == strconv.Itoa(i)
}

func refused(err error, code core.ErrorCode, pattern string) (string, error) {
	var refusal core.CustomError
	if !errors.As(err, &refusal) {
		return "", fmt.Errorf("%v instead of a refusal", err)
	}
	found := string(refusal.ErrorData())
	if refusal.ErrorCode() != code || !regexp.MustCompile("(?s)^"+pattern+"$").MatchString(found) {
		return "", fmt.Errorf("0x%x %q", uint32(refusal.ErrorCode()), found)
	}
	return fmt.Sprintf("0x%x %s", uint32(code), found), nil
}

func pattern(size int) []byte {
	bytes := make([]byte, size)
	for i := range bytes {
		bytes[i] = byte(i*31 + (i >> 8))
	}
	return bytes
}
