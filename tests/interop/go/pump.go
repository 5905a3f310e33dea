package main

import (
	"context"
	"io"
	"sync"

	"github.com/jjeffcaii/reactor-go"
	"github.com/jjeffcaii/reactor-go/flux"
	"github.com/jjeffcaii/reactor-go/scheduler"
	"github.com/rsocket/rsocket-go/payload"
	rflux "github.com/rsocket/rsocket-go/rx/flux"
)

// pump publishes items one per credit, from a goroutine of its own, so that they stay in order and a
// CANCEL is seen in between. The library's sinks buffer without bound.
type pump struct {
	flux.Flux // for the operators, none of which is used but SubscribeOn
	route     string
	next      func(i int) ([]byte, error)
	cancelled func()
}

// numbered publishes what next gives until it gives io.EOF, or fails with another error.
func numbered(next func(i int) ([]byte, error), cancelled func()) rflux.Flux {
	return rflux.Raw(&pump{Flux: flux.Empty(), next: next, cancelled: cancelled})
}

// routed is the outgoing half of a channel: its first item carries the route.
func routed(route string, next func(i int) ([]byte, error)) rflux.Flux {
	return rflux.Raw(&pump{Flux: flux.Empty(), route: route, next: next, cancelled: func() {}})
}

func (p *pump) SubscribeOn(scheduler.Scheduler) flux.Flux { return p }

func (p *pump) SubscribeWith(ctx context.Context, s reactor.Subscriber) {
	r := &run{}
	r.cond.L = &r.lock
	s.OnSubscribe(ctx, r)
	go p.loop(r, s)
}

func (p *pump) loop(r *run, s reactor.Subscriber) {
	for i := 0; ; i++ {
		item, err := p.next(i)
		if err == io.EOF {
			s.OnComplete()
			return
		}
		if err != nil {
			s.OnError(err)
			return
		}
		if !r.take() {
			p.cancelled()
			return
		}
		if i == 0 && p.route != "" {
			s.OnNext(payload.New(item, metadata(p.route)))
		} else {
			s.OnNext(payload.New(item, nil))
		}
	}
}

// run is the subscription: credit, and whether anybody still wants it.
type run struct {
	lock   sync.Mutex
	cond   sync.Cond
	credit int
	over   bool
}

func (r *run) Request(n int) {
	r.lock.Lock()
	r.credit += n
	r.lock.Unlock()
	r.cond.Signal()
}

func (r *run) Cancel() {
	r.lock.Lock()
	r.over = true
	r.lock.Unlock()
	r.cond.Signal()
}

func (r *run) take() bool {
	r.lock.Lock()
	defer r.lock.Unlock()
	for r.credit == 0 && !r.over {
		r.cond.Wait()
	}
	r.credit--
	return !r.over
}
