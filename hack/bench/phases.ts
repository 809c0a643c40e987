import type { Ledger, Verdict } from "./ledger.ts";
import { type LimitName, type LimitResult, type RecordedRows, runLimit } from "./limits.ts";
import type { Servers } from "./servers.ts";
import { type Sample, SinkProcess } from "./sink-process.ts";
import { cpuSeconds } from "./usage.ts";

export interface SinkResult extends Verdict {
  /** Rows per second, from the first transaction's end to the last one's. */
  readonly rate: number;
  /** Of the sink, in that time; its start is left out. */
  readonly cpuPerMillion: number;
  readonly serverCpu: number;
  readonly peakMb: number;
  readonly samples: readonly Sample[];
}

/** A sink of its own takes in the whole topic. */
export async function runSink(
  servers: Servers,
  ledger: Ledger,
  topic: string,
  name: string,
  count: number,
): Promise<SinkResult> {
  const sink = await SinkProcess.start(servers, ledger, topic, name);
  try {
    const samples = await sink.until(ledger, count);
    const peakMb = sink.peakMb;
    const serverCpu = await backendCpu(ledger);
    await sink.stop();
    const [rate, verdict] = [await ledger.rate(), await ledger.verdict()];
    return { rate, cpuPerMillion: cpuPerMillion(samples), serverCpu, peakMb, samples, ...verdict };
  } finally {
    await sink.stop();
  }
}

export interface Round {
  readonly sink: SinkResult;
  readonly limits: Readonly<Record<LimitName, LimitResult>>;
}

type Subject = "sink" | LimitName;
const subjects: readonly Subject[] = ["sink", "direct-copy", "staged"];

/** Everything once, in an order that another round turns round. */
export async function runRound(
  number: number,
  run: { sink: () => Promise<SinkResult>; ledger: Ledger; rows: RecordedRows },
): Promise<Round> {
  const first = number % subjects.length;
  const order = [...subjects.slice(first), ...subjects.slice(0, first)];
  const limits: Partial<Record<LimitName, LimitResult>> = {};
  let sink: SinkResult | undefined;
  for (const subject of number % 2 === 0 ? order : order.toReversed()) {
    await run.ledger.empty();
    if (subject === "sink") sink = await run.sink();
    else limits[subject] = await runLimit(subject, run.ledger, run.rows);
  }
  if (sink === undefined) throw new Error("A round without a sink");
  return { sink, limits: limits as Round["limits"] };
}

export function cpuPerMillion(samples: readonly Sample[]): number {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined) return Number.NaN;
  return ((last.cpuSeconds - first.cpuSeconds) / (last.settled - first.settled)) * 1e6;
}

async function backendCpu({ client }: Ledger): Promise<number> {
  const { rows } = await client.query<{ pid: number }>(
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'audit-sink/bench'",
  );
  return rows.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0);
}
