package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	pb "example.org/agent/gen/commontrace/v1"
)

const (
	callers = 8
	// Bound for a restart on a busy machine.
	patience = 30 * time.Second
)

// TestNoCallFails calls until its standard input ends. Restart the server of COMMONTRACE_ADDRESS meanwhile:
//
//	go test -c -o restarts.test . && sleep 60 | COMMONTRACE_ADDRESS=127.0.0.1:50051 ./restarts.test -test.v
func TestNoCallFails(t *testing.T) {
	connection, err := connect(os.Getenv("COMMONTRACE_ADDRESS"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	traces := pb.NewTraceServiceClient(connection)
	ended, end := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		end()
	}()
	var calling sync.WaitGroup
	calls := make([]int, callers)
	for number := range callers {
		calling.Go(func() {
			for ended.Err() == nil {
				if err := readSearch(traces); err != nil {
					t.Errorf("search: %v", err)
				}
				if err := create(traces); err != nil {
					t.Errorf("contribution: %v", err)
				}
				calls[number] += 2
			}
		})
	}
	calling.Wait()
	count := 0
	for _, made := range calls {
		count += made
	}
	fmt.Printf("%d calls\n", count)
}

func readSearch(traces pb.TraceServiceClient) error {
	ctx, cancel := context.WithTimeout(as("ada@example.org"), patience)
	defer cancel()
	query := &pb.SearchTracesRequest_Text{Text: "container starts before its database is ready"}
	stream, err := traces.SearchTraces(ctx, &pb.SearchTracesRequest{Query: query, Limit: 3}, patient)
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func create(traces pb.TraceServiceClient) error {
	ctx, cancel := context.WithTimeout(as("ada@example.org"), patience)
	defer cancel()
	id := uuid.NewString()
	_, err := traces.CreateTrace(ctx, &pb.CreateTraceRequest{
		Title: "restart " + id, Context: "problem " + id, Solution: "cure " + id, RequestId: id,
	}, patient)
	return err
}
