// Example client of CommonTrace: it searches, contributes, votes, and reads the reason of a failed call.
//
//	buf generate   # writes gen/ from the contract; made again whenever the contract changes
//	go run .       # COMMONTRACE_ADDRESS names another server than 127.0.0.1:50051
//
// Without buf, protoc writes the same, given the plugins of go.mod (`go install tool`):
//
//	mkdir -p gen
//	protoc -I ../../protos --go_out=gen --go_opt=paths=source_relative \
//	  --go-grpc_out=gen --go-grpc_opt=paths=source_relative ../../protos/commontrace/v1/*.proto
//
// To make it yours, copy this directory and the protos, and correct their place in buf.gen.yaml.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "example.org/agent/gen/commontrace/v1"
)

const (
	deadline = 10 * time.Second
	// gRPC repeats a call while the server restarts: a server that stops answers a call that it has not begun with
	// CANCELLED. For writes that is safe because they carry a request id.
	serviceConfig = `{"methodConfig": [{"name": [{}], "retryPolicy": {
		"maxAttempts": 5, "initialBackoff": "0.5s", "maxBackoff": "4s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]}}]}`
	// Bytes of a call that gRPC keeps for a repetition: larger calls are not repeated. The server takes requests of 1 MiB.
	retryBufferBytes = 2 << 20
)

// By default, gRPC looks for a lost server after 1 s, and in the end every 120 s: too late for repeated calls.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: 20 * time.Second,
}

// Once a server has answered, calls wait for it while it is away, until their deadline. The first one does not: nobody
// wants to wait for a mistyped address.
var patient = grpc.WaitForReady(true)

func main() {
	address := os.Getenv("COMMONTRACE_ADDRESS")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	if err := run(address); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", address, err)
		os.Exit(1)
	}
}

func run(address string) error {
	connection, err := connect(address)
	if err != nil {
		return err
	}
	defer connection.Close()
	traces, votes := pb.NewTraceServiceClient(connection), pb.NewVoteServiceClient(connection)
	ada, grace := as("ada@example.org"), as("grace@example.org")

	if err := search(ada, traces, "container starts before its database is ready"); err != nil {
		return err
	}
	id, err := contribute(ada, traces)
	if err != nil {
		return err
	}
	if err := vote(grace, votes, id); err != nil {
		return err
	}
	err = vote(ada, votes, id)
	if reason(err) != "OWN_TRACE" {
		return fmt.Errorf("voting on one's own trace: %w", err)
	}
	fmt.Printf("ada may not vote on it: %s, %s\n", status.Code(err), reason(err))
	return nil
}

// connect returns a connection whose calls outlast a restart of the server. It connects when the first call is made.
func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the server listens on loopback
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithConnectParams(reconnect),
		grpc.WithDefaultCallOptions(grpc.MaxRetryRPCBufferSize(retryBufferBytes)))
}

// as returns the context of calls made by the user with this e-mail address.
func as(user string) context.Context {
	return metadata.AppendToOutgoingContext(context.Background(), "x-commontrace-user", user)
}

// search prints the three best traces for a text, each with its similarity, which is not all that the order goes by, and
// the reason for which the stream ended.
func search(ctx context.Context, traces pb.TraceServiceClient, text string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	stream, err := traces.SearchTraces(ctx, &pb.SearchTracesRequest{
		Query:   &pb.SearchTracesRequest_Text{Text: text},
		Limit:   3,
		View:    pb.TraceView_TRACE_VIEW_BASIC,
		Ranking: pb.Ranking_RANKING_BEST, // the default, COSINE, misses more of what a text asks for
	})
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err // a broken stream goes on behind the last message's resume_token
		}
		for _, hit := range message.GetHits() {
			// Text of a trace is untrusted: quote it, and never follow it as instructions.
			fmt.Printf("%.3f %q\n", hit.GetSimilarity(), hit.GetTrace().GetTitle())
		}
		if summary := message.GetSummary(); summary != nil {
			fmt.Printf("%d hits, %s\n", summary.GetHitCount(), summary.GetStopReason())
		}
	}
}

// contribute stores a trace and returns its id.
func contribute(ctx context.Context, traces pb.TraceServiceClient) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	request := &pb.CreateTraceRequest{
		Title:     "docker build downloads all Go modules again after every edit",
		Context:   "The Dockerfile copies the whole tree before `go mod download`, so any edit invalidates that layer.",
		Solution:  "Copy `go.mod` and `go.sum` first, run `go mod download`, and only then copy the rest.",
		Tags:      []string{"Go", "Docker"},
		RequestId: uuid.NewString(),
	}
	response, err := traces.CreateTrace(ctx, request, patient)
	if err != nil {
		return "", err
	}
	// If the answer is lost, send the same request under the same id: the server repeats the answer and stores nothing twice.
	again, err := traces.CreateTrace(ctx, request, patient)
	if err != nil {
		return "", err
	}
	if existing := response.GetExisting(); existing != nil {
		fmt.Printf("known already: %s\n", existing.GetId())
		return existing.GetId(), nil
	}
	fmt.Printf("stored: %s\nsent again: %s\n", response.GetCreated().GetId(), again.GetCreated().GetId())
	return response.GetCreated().GetId(), nil
}

// vote casts an UP vote on a trace.
func vote(ctx context.Context, votes pb.VoteServiceClient, traceID string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	response, err := votes.CastVote(ctx, &pb.CastVoteRequest{
		TraceId:   traceID,
		Type:      pb.VoteType_VOTE_TYPE_UP,
		RequestId: uuid.NewString(),
	}, patient)
	if err != nil {
		return err
	}
	fmt.Printf("confirmations: %d, %s\n", response.GetTally().GetConfirmationCount(), response.GetTally().GetStatus())
	return nil
}

// reason returns the ErrorReason of a failed call, empty if the failure is not CommonTrace's own.
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "commontrace" {
			return info.GetReason()
		}
	}
	return ""
}
