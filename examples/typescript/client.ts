// Options of calls: identity, deadlines, and the retry policy for restarts of the server.
import { type CallOptions, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";

import { TraceServiceClient } from "./gen/commontrace/v1/trace_service.js";
import { VoteServiceClient } from "./gen/commontrace/v1/vote_service.js";

/**
 * gRPC repeats a call while the server restarts: a server that stops answers a call that it has not begun with CANCELLED.
 * For writes that is safe because they carry a request id.
 */
const serviceConfig = `{"methodConfig": [{"name": [{}], "retryPolicy": {
  "maxAttempts": 5, "initialBackoff": "0.5s", "maxBackoff": "4s", "backoffMultiplier": 2,
  "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]}}]}`;

/** By default, gRPC looks for a lost server after 1 s, and in the end every 120 s: too late for repeated calls. */
const reconnect = { "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000 };

/** Returns the clients of two services on one channel, whose calls outlast a restart of the server. */
export function connect(address: string): { traces: TraceServiceClient; votes: VoteServiceClient } {
  const plaintext = credentials.createInsecure(); // the server listens on loopback
  const traces = new TraceServiceClient(address, plaintext, { "grpc.service_config": serviceConfig, ...reconnect });
  const votes = new VoteServiceClient(address, plaintext, { channelOverride: traces.getChannel() });
  return { traces, votes };
}

/**
 * Says in a call that it is made by the user with this e-mail address.
 *
 * Once a server has answered, calls wait for it while it is away, until their deadline. The first one does not: nobody
 * wants to wait for a mistyped address.
 */
export function as(user: string, { waitForReady } = { waitForReady: true }): Metadata {
  const metadata = new Metadata({ waitForReady });
  metadata.set("x-commontrace-user", user);
  return metadata;
}

/** Returns when a call that begins now is given up. */
export function inTenSeconds(): number {
  return Date.now() + 10_000;
}

/** A method with one answer, as it is generated. */
type Unary<Request, Response> = (
  request: Request,
  user: Metadata,
  options: CallOptions,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** Calls a method and returns its answer, or fails as the call did. */
export function call<Request, Response>(
  method: Unary<Request, Response>,
  request: Request,
  user: Metadata,
  deadline = inTenSeconds(),
) {
  return new Promise<Response>((resolve, reject) => {
    const done = (error: ServiceError | null, response: Response) => (error ? reject(error) : resolve(response));
    method(request, user, { deadline }, done);
  });
}
