// Command interop is a test peer on rsocket-go: interop respond|request --broker URI --service NAME.
//
// The commands and the checks are described in ../README.md. It spells the registering entries by
// their full MIME text. Requests go in fragments of 16 KiB; replies go whole, because the library
// marks the first fragment of a reply as the last.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"time"

	"github.com/jjeffcaii/reactor-go/hooks"
	"github.com/rsocket/rsocket-go"
	"github.com/rsocket/rsocket-go/core/transport"
	"github.com/rsocket/rsocket-go/extension"
	"github.com/rsocket/rsocket-go/logger"
	"github.com/rsocket/rsocket-go/payload"
)

const (
	appInfo   = "message/x.rsocket.application+json"
	published = "message/x.rsocket.service.registry.v0+json"
	composite = "message/x.rsocket.composite-metadata.v0"
)

type options struct {
	broker, service, only, brief, skip, size, ca string
	keepalive, lifetime, fragment, lease         int
}

func main() {
	log.SetOutput(os.Stderr)
	logger.SetLevel(logger.LevelError)
	// What a cancelled stream still had is of no interest.
	hooks.OnNextDrop(func(any) {})
	hooks.OnErrorDrop(func(error) {})

	var o options
	flags := flag.NewFlagSet("interop", flag.ExitOnError)
	flags.StringVar(&o.broker, "broker", "", "URI")
	flags.StringVar(&o.service, "service", "", "NAME, or NAME:ITEMS,...")
	flags.StringVar(&o.only, "only", "", "checks")
	flags.StringVar(&o.brief, "brief", "", "SERVICE/CHECK,...")
	flags.StringVar(&o.skip, "skip", "", "SERVICE/CHECK,...")
	flags.StringVar(&o.size, "size", "0", "bytes")
	flags.StringVar(&o.ca, "ca", "", "PEM file")
	flags.IntVar(&o.keepalive, "keepalive", 20_000, "ms")
	flags.IntVar(&o.lifetime, "lifetime", 90_000, "ms")
	flags.IntVar(&o.fragment, "fragment", 0, "bytes; 0 is 16 KiB for a requester, and no limit for a responder")
	flags.IntVar(&o.lease, "lease", 0, "keep to leases")
	if err := flags.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}

	if o.fragment == 0 && os.Args[1] == "request" {
		o.fragment = 16 * 1024
	}
	if os.Args[1] == "respond" {
		peer := connect(&o, o.service, newService().socket())
		for {
			if _, err := call(peer, o.service+".ping", nil); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Printf("{\"ready\":%q}\n", o.service)
		// The driver holds our standard input; when it goes away, so do we.
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	runChecks(connect(&o, "", rsocket.NewAbstractSocket()), &o)
}

func connect(o *options, name string, handler rsocket.RSocket) rsocket.Client {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	builder := rsocket.Connect().
		MetadataMimeType(composite).
		DataMimeType("application/octet-stream").
		KeepAlive(ms(o.keepalive), ms(o.lifetime), 1).
		Fragment(o.fragment)
	if o.lease > 0 {
		builder = builder.Lease()
	}
	if name != "" {
		builder = builder.SetupPayload(payload.New(nil, registration(name)))
	}
	client, err := builder.
		Acceptor(func(context.Context, rsocket.RSocket) rsocket.RSocket { return handler }).
		Transport(target(o)).
		Start(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func target(o *options) transport.ClientTransporter {
	uri, err := url.Parse(o.broker)
	if err != nil {
		log.Fatal(err)
	}
	switch uri.Scheme {
	case "unix":
		return rsocket.UnixClient().SetPath(uri.Path).Build()
	case "tcp":
		return rsocket.TCPClient().SetAddr(uri.Host).Build()
	case "tls":
		return rsocket.TCPClient().SetAddr(uri.Host).SetTLSConfig(trust(o, uri)).Build()
	case "wss":
		return rsocket.WebsocketClient().SetURL(o.broker).SetTLSConfig(trust(o, uri)).Build()
	default:
		return rsocket.WebsocketClient().SetURL(o.broker).Build()
	}
}

func trust(o *options, uri *url.URL) *tls.Config {
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: uri.Hostname()}
}

func registration(name string) []byte {
	entries, err := extension.NewCompositeMetadataBuilder().
		PushString(appInfo, fmt.Sprintf("{\"name\":%q}", name)).
		PushString(published, fmt.Sprintf("{\"published\":[%q]}", name)).
		Build()
	if err != nil {
		log.Fatal(err)
	}
	return entries
}

func metadata(route string) []byte {
	tags, err := extension.EncodeRouting(route)
	if err != nil {
		log.Fatal(err)
	}
	entries, err := extension.NewCompositeMetadataBuilder().
		PushWellKnown(extension.MessageRouting, tags).
		Build()
	if err != nil {
		log.Fatal(err)
	}
	return entries
}
