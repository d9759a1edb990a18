// Calls until its standard input ends. Restart the server of COMMONTRACE_ADDRESS meanwhile:
//
//   sleep 60 | COMMONTRACE_ADDRESS=127.0.0.1:50051 npx tsx restarts.test.ts
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { as, call, connect } from "./client.js";
import {
  CreateTraceRequest,
  SearchTracesRequest,
  type SearchTracesResponse,
  type TraceServiceClient,
} from "./gen/commontrace/v1/trace_service.js";

const callers = 8;
/** Returns when a call that begins now is given up: restarts of a busy machine take their time. */
const inThirtySeconds = () => Date.now() + 30_000;
const ada = as("ada@example.org");

async function readSearch(traces: TraceServiceClient): Promise<void> {
  const query = { $case: "text", value: "container starts before its database is ready" } as const;
  const request = SearchTracesRequest.fromPartial({ query, limit: 3 });
  const options = { deadline: inThirtySeconds() };
  const messages: AsyncIterable<SearchTracesResponse> = traces.searchTraces(request, ada, options);
  for await (const _ of messages);
}

async function create(traces: TraceServiceClient): Promise<void> {
  const id = randomUUID();
  const said = { title: `restart ${id}`, context: `problem ${id}`, solution: `cure ${id}` };
  const request = CreateTraceRequest.fromPartial({ ...said, requestId: id });
  await call(traces.createTrace.bind(traces), request, ada, inThirtySeconds());
}

test("no call fails while the server is restarted", async () => {
  const { traces } = connect(process.env["COMMONTRACE_ADDRESS"] ?? "");
  let ended = false;
  process.stdin.on("end", () => (ended = true)).resume();
  let count = 0;
  async function go(): Promise<void> {
    while (!ended) {
      await readSearch(traces);
      await create(traces);
      count += 2;
    }
  }
  try {
    await Promise.all(Array.from({ length: callers }, go));
  } finally {
    traces.close();
  }
  console.log(`${count} calls`);
});
