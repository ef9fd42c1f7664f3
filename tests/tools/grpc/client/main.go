// A gRPC client with xDS built in, for the tests. It listens for HTTP on the address given as its argument:
//
//	GET /call?target=xds:///web.shop:80&count=100
//
// calls the target's health service that often, over one connection object per target that stays open, and answers with
// JSON: how many calls each backend answered, and how many failed with which error.
//
// Where the control plane is stands in the file that GRPC_XDS_BOOTSTRAP names.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	_ "google.golang.org/grpc/xds"
)

const patience = 2 * time.Second

type client struct {
	lock  sync.Mutex
	conns map[string]*grpc.ClientConn
}

func (c *client) conn(target string) (*grpc.ClientConn, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if conn, ok := c.conns[target]; ok {
		return conn, nil
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		c.conns[target] = conn
	}
	return conn, err
}

type answer struct {
	Backends map[string]int `json:"backends"`
	Errors   map[string]int `json:"errors"`
}

func (c *client) call(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.Atoi(r.FormValue("count"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	conn, err := c.conn(r.FormValue("target"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	health := grpc_health_v1.NewHealthClient(conn)
	result := answer{Backends: map[string]int{}, Errors: map[string]int{}}
	for range count {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		var header metadata.MD
		_, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&header))
		cancel()
		if err != nil {
			result.Errors[err.Error()]++
			// One says it all, and each may take its time.
			break
		}
		for _, backend := range header.Get("backend") {
			result.Backends[backend]++
		}
	}
	if err := json.NewEncoder(w).Encode(result); err != nil {
		log.Print(err)
	}
}

func main() {
	c := client{conns: map[string]*grpc.ClientConn{}}
	http.HandleFunc("GET /call", c.call)
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
