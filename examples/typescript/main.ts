// Example client of CommonTrace: it searches, contributes, votes, and reads the reason of a failed call.
//
//   npm ci
//   npm run generate   # runs `buf generate`: writes gen/ from the contract, again whenever that changes
//   npm start          # COMMONTRACE_ADDRESS names another server than 127.0.0.1:50051
//
// To make it yours, copy this directory and the protos, and correct their place in buf.gen.yaml.
import { randomUUID } from "node:crypto";

import { type Metadata, type ServiceError, status } from "@grpc/grpc-js";

import { as, call, connect, inTenSeconds } from "./client.js";
import { TraceStatus, TraceView } from "./gen/commontrace/v1/trace.js";
import {
  CreateTraceRequest,
  Ranking,
  SearchTracesRequest,
  type SearchTracesResponse,
  StopReason,
  type TraceServiceClient,
} from "./gen/commontrace/v1/trace_service.js";
import { VoteType } from "./gen/commontrace/v1/vote.js";
import { CastVoteRequest, type VoteServiceClient } from "./gen/commontrace/v1/vote_service.js";
import { ErrorInfo } from "./gen/google/rpc/error_details.js";
import { Status } from "./gen/google/rpc/status.js";

/**
 * Prints the three best traces for a text, each with its similarity, which is not all that the order goes by, and why
 * there are no more of them.
 */
async function search(traces: TraceServiceClient, text: string, user: Metadata): Promise<void> {
  const request = SearchTracesRequest.fromPartial({
    query: { $case: "text", value: text },
    limit: 3,
    view: TraceView.BASIC,
    ranking: Ranking.BEST, // the default, COSINE, misses more of what a text asks for
  });
  // To continue a broken stream, send the same request with the `resumeToken` of its last message.
  const options = { deadline: inTenSeconds() };
  const messages: AsyncIterable<SearchTracesResponse> = traces.searchTraces(request, user, options);
  for await (const { hits, summary } of messages) {
    for (const { similarity, trace } of hits) {
      // Text of a trace is untrusted: quote it, and never follow it as instructions.
      console.log(similarity.toFixed(3), JSON.stringify(trace?.title));
    }
    if (summary) console.log(`${summary.hitCount} hits, ${StopReason[summary.stopReason]}`);
  }
}

/** Stores a trace and returns its id. */
async function contribute(traces: TraceServiceClient, user: Metadata): Promise<string> {
  const request = CreateTraceRequest.fromPartial({
    title: "tsc is content, but node fails with ERR_MODULE_NOT_FOUND",
    context: "The package is an ES module and says `import './settings'`. Node adds no file name extension.",
    solution: "Write `import './settings.js'`; with `\"module\": \"nodenext\"` tsc insists on it.",
    tags: ["TypeScript", "Node.js"],
    requestId: randomUUID(),
  });
  const create = traces.createTrace.bind(traces);
  const { outcome } = await call(create, request, user);
  // If the answer is lost, send the same request under the same id: the server repeats the answer and stores nothing twice.
  const again = await call(create, request, user);
  if (!outcome) throw new Error("this server's answer is newer than gen/: generate it again");
  if (outcome.$case === "existing") {
    console.log(`known already: ${outcome.value.id}`);
  } else {
    console.log(`stored: ${outcome.value.id}\nsent again: ${again.outcome?.value.id}`);
  }
  return outcome.value.id;
}

/** Says that a trace worked. */
async function vote(votes: VoteServiceClient, traceId: string, user: Metadata): Promise<void> {
  const request = CastVoteRequest.fromPartial({ traceId, type: VoteType.UP, requestId: randomUUID() });
  const { tally } = await call(votes.castVote.bind(votes), request, user);
  console.log(`confirmations: ${tally?.confirmationCount}, ${TraceStatus[tally?.status ?? 0]}`);
}

/** Returns which value of ErrorReason a call failed with, undefined if the failure is not CommonTrace's own. */
function reason(error: Partial<ServiceError>): string | undefined {
  const [trailer] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!(trailer instanceof Buffer)) return undefined;
  const detail = Status.decode(trailer).details.find(({ typeUrl }) => typeUrl.endsWith("/google.rpc.ErrorInfo"));
  const info = detail && ErrorInfo.decode(detail.value);
  return info?.domain === "commontrace" ? info.reason : undefined;
}

async function main(address: string): Promise<void> {
  const { traces, votes } = connect(address);
  const ada = as("ada@example.org");
  const grace = as("grace@example.org");
  try {
    await search(traces, "container starts before its database is ready", as("ada@example.org", { waitForReady: false }));
    const id = await contribute(traces, ada);
    await vote(votes, id, grace);
    await vote(votes, id, ada).catch((error: ServiceError) => {
      if (reason(error) !== "OWN_TRACE") throw error;
      console.log(`ada may not vote on it: ${status[error.code]}, ${reason(error)}`);
    });
  } finally {
    traces.close();
  }
}

const address = process.env["COMMONTRACE_ADDRESS"] || "127.0.0.1:50051";
main(address).catch((error: Error) => {
  console.error(`${address}: ${error.message}`);
  process.exitCode = 1;
});
