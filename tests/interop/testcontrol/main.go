// Command testcontrol runs Tailscale's own test control server, so that skerryd can be tried against a control server that is not
// ours. Everything is kept in memory and forgotten at the end.
//
// Standard output is one JSON object a line:
//
//	{"event":"listening","url":"http://127.0.0.1:41000"}
//	{"event":"join","id":1,"node_key":"nodekey:..","machine_key":"mkey:..","name":"a","addresses":["100.64.0.1/32",..]}
//	{"event":"poll","node_key":..}                                        a map request arrived, stream or lite update
//	{"event":"update","id":1,..,"disco_key":..,"home_derp":900,"endpoints":[..],"hostname":..}    what a lite update changed
//	{"event":"auth","path":"/auth/.."}                                     a sign-in URL was visited and completed
//	{"event":"leave","id":1,"node_key":..}
//	{"event":"stopped"}
//
// A GET of a sign-in URL (--require-auth) completes the sign-in. A POST of a MapResponse (JSON) to /lab/map?node=<node key> puts it on
// that node's map stream: 204, or 409 when the node has none; from then on the stream carries only what is posted. SIGTERM or SIGINT
// ends the program with status 0. Logs go to standard error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

type options struct {
	listen, url, derpMap, authKey, domain string
	requireAuth, allOnline, sameUser      bool
	peerRelay, verbose                    bool
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "`address` to listen on; port 0 picks one")
	flag.StringVar(&o.url, "url", "", "base `URL` given to clients (default http://<listen address>)")
	flag.StringVar(&o.derpMap, "derp-map", "", "JSON `file` with a DERP map (default: a map without regions)")
	flag.StringVar(&o.authKey, "require-auth-key", "", "accept only nodes that come with this auth `key`")
	flag.BoolVar(&o.requireAuth, "require-auth", false, "nodes must sign in by visiting a URL")
	flag.StringVar(&o.domain, "magic-dns-domain", "", "`domain` of the nodes' names")
	flag.BoolVar(&o.allOnline, "all-online", true, "tell every node that every peer is online")
	flag.BoolVar(&o.sameUser, "all-same-user", true, "all nodes belong to one user")
	flag.BoolVar(&o.peerRelay, "peer-relay", false, "grant everybody the use of UDP peer relays")
	flag.BoolVar(&o.verbose, "verbose", false, "log requests")
	flag.Parse()
	if flag.NArg() > 0 {
		fail(2, "unexpected argument %q; see --help", flag.Arg(0))
	}
	return o
}

func fail(status int, format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "testcontrol: "+format+"\n", arguments...)
	os.Exit(status)
}

func readDERPMap(path string) (*tailcfg.DERPMap, error) {
	regions := new(tailcfg.DERPMap)
	if path == "" {
		return regions, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, regions); err != nil {
		return nil, fmt.Errorf("%s: not a DERP map: %w", path, err)
	}
	return regions, nil
}

// reporter writes one JSON object a line.
type reporter struct {
	mu sync.Mutex
}

func (r *reporter) emit(event string, fields map[string]any) {
	line := map[string]any{"event": event}
	for name, value := range fields {
		line[name] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		log.Printf("event %s: %v", event, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func describe(node *tailcfg.Node) map[string]any {
	hostname := ""
	if node.Hostinfo.Valid() {
		hostname = node.Hostinfo.Hostname()
	}
	return map[string]any{
		"id": node.ID, "node_key": node.Key, "machine_key": node.Machine, "name": node.Name, "hostname": hostname,
		"addresses": node.Addresses, "disco_key": node.DiscoKey, "home_derp": node.HomeDERP, "endpoints": node.Endpoints,
	}
}

// watch reports joins, updates and departures until the context ends.
func (r *reporter) watch(ctx context.Context, server *testcontrol.Server) {
	known := map[key.NodePublic]string{}
	nodes := map[key.NodePublic]*tailcfg.Node{}
	for {
		seen := map[key.NodePublic]bool{}
		for _, node := range server.AllNodes() {
			fields := describe(node)
			text, _ := json.Marshal(fields)
			before, joined := known[node.Key]
			if !joined {
				r.emit("join", fields)
			} else if before != string(text) {
				r.emit("update", fields)
			}
			known[node.Key], nodes[node.Key], seen[node.Key] = string(text), node, true
		}
		for nodeKey := range known {
			if !seen[nodeKey] {
				r.emit("leave", map[string]any{"id": nodes[nodeKey].ID, "node_key": nodeKey})
				delete(known, nodeKey)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// handler adds the sign-in pages, and answers 404 where the test server would panic.
func handler(server *testcontrol.Server, r *reporter) http.Handler {
	pages := http.NewServeMux()
	for _, path := range []string{"/key", "/ts2021", "/machine/", "/c2n/", "/generate_204"} {
		pages.Handle(path, server)
	}
	pages.HandleFunc("/auth/", func(w http.ResponseWriter, request *http.Request) {
		if !server.CompleteAuth(request.URL.Path) {
			http.NotFound(w, request)
			return
		}
		r.emit("auth", map[string]any{"path": request.URL.Path})
		fmt.Fprintln(w, "signed in")
	})
	pages.HandleFunc("POST /lab/map", func(w http.ResponseWriter, request *http.Request) {
		var to key.NodePublic
		response := new(tailcfg.MapResponse)
		err := to.UnmarshalText([]byte(request.URL.Query().Get("node")))
		if err == nil {
			err = json.NewDecoder(request.Body).Decode(response)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		} else if !server.AddRawMapResponse(to, response) {
			http.Error(w, "the node has no map stream", http.StatusConflict)
		} else {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	return pages
}

func main() {
	o := parseFlags()
	regions, err := readDERPMap(o.derpMap)
	if err != nil {
		fail(1, "%v", err)
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		fail(1, "cannot listen on %s: %v", o.listen, err)
	}
	if o.url == "" {
		o.url = "http://" + listener.Addr().String()
	}
	report := new(reporter)
	control := &testcontrol.Server{
		DERPMap: regions, RequireAuth: o.requireAuth, RequireAuthKey: o.authKey, MagicDNSDomain: o.domain,
		ExplicitBaseURL: strings.TrimSuffix(o.url, "/"), AllOnline: o.allOnline, AllNodesSameUser: o.sameUser,
		PeerRelayGrants: o.peerRelay, Verbose: o.verbose, Logf: func(string, ...any) {},
	}
	if o.verbose {
		control.Logf = log.Printf
	}
	control.SetOnMapRequest(func(nodeKey key.NodePublic) { report.emit("poll", map[string]any{"node_key": nodeKey}) })

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := &http.Server{Handler: handler(control, report)}
	report.emit("listening", map[string]any{"url": control.ExplicitBaseURL})
	go report.watch(ctx, control)
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		fail(1, "%v", err)
	}
	report.emit("stopped", nil)
}
