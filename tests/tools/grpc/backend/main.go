// Servers of the standard health service for the tests: one for each address given, all in one process. Each says in the
// header `backend` which one it is.
package main

import (
	"context"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

type backend struct {
	grpc_health_v1.UnimplementedHealthServer
	address string
}

func (b backend) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if err := grpc.SetHeader(ctx, metadata.Pairs("backend", b.address)); err != nil {
		return nil, err
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

func main() {
	failed := make(chan error)
	for _, address := range os.Args[1:] {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			log.Fatal(err)
		}
		server := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(server, backend{address: address})
		go func() { failed <- server.Serve(listener) }()
	}
	log.Print("listening")
	log.Fatal(<-failed)
}
