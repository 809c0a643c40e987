import { isDeepStrictEqual } from "node:util";
import type { Month } from "../desired/postgres-month.ts";
import type { Backlog } from "../desired/sink-lag.ts";
import type { Key } from "../runtime/controller.ts";
import type { Report } from "../status/conditions.ts";

/** How soon a partition with records to store is looked at again. */
export const LOOK_AGAIN_MS = 15_000;
/** A partition may stand still so long: rebalances, slow batches and restarts take their time. */
const LEAST_PATIENCE_MS = 30_000;
/** Looks further apart than this (a back-end was away) do not tell what happened between them. */
const MOST_BETWEEN_LOOKS_MS = 60_000;

interface Standing {
  readonly nextOffset: bigint;
  readonly since: number;
  readonly seen: number;
}

export interface FlowSighting {
  readonly backlogs: readonly Backlog[];
  readonly flushIntervalMs: number;
  /** Months that partitions wait for, and those that are there. */
  readonly wanted: readonly { readonly partition: number; readonly month: Month }[];
  readonly months: readonly Month[];
}

export type FlowWatch = ReturnType<typeof flowWatch>;

/**
 * Where each partition of each sink stood and since when, and when a pipeline's lag was last told. Kept in memory alone:
 * the status stays as it is while nothing happens, and a new operator starts to watch anew. `now` is milliseconds.
 */
export function flowWatch(now: () => number = () => performance.now()) {
  const standing = new Map<string, Map<number, Standing>>();
  const told = new Map<string, number>();
  const idOf = ({ namespace, name }: Key, sink = "") => `${namespace}/${name}/${sink}`;

  return {
    /** Whether events move on in every partition of the sink. */
    judge(key: Key, sink: string, sighting: FlowSighting): Report {
      const at = now();
      const before = standing.get(idOf(key, sink));
      const after = new Map(sighting.backlogs.map((backlog) => [backlog.partition, next(before, backlog, at)]));
      standing.set(idOf(key, sink), after);
      const patience = Math.max(LEAST_PATIENCE_MS, 3 * sighting.flushIntervalMs);
      const stuck = sighting.backlogs.filter(({ partition }) => at - (after.get(partition)?.since ?? at) >= patience);
      return missingMonth(sink, sighting) ?? standStill(sink, stuck, patience) ?? { kind: "Ok", message: "" };
    },

    /** Nothing consumes, so nothing can stand still. */
    forgetSink(key: Key, sink: string): void {
      standing.delete(idOf(key, sink));
    },

    forget(key: Key): void {
      told.delete(idOf(key));
      for (const id of standing.keys()) if (id.startsWith(idOf(key))) standing.delete(id);
    },

    /** True at most once per interval (less the jitter of passes): the status may then be written for the lag alone. */
    mayTellLag(key: Key, intervalMs: number): boolean {
      const last = told.get(idOf(key));
      if (last !== undefined && now() - last < 0.85 * intervalMs) return false;
      told.set(idOf(key), now());
      return true;
    },
  };
}

function next(before: ReadonlyMap<number, Standing> | undefined, backlog: Backlog, at: number): Standing {
  const { partition, nextOffset } = backlog;
  const known = before?.get(partition);
  const same = known?.nextOffset === nextOffset && at - known.seen <= MOST_BETWEEN_LOOKS_MS;
  return { nextOffset, since: same ? known.since : at, seen: at };
}

function missingMonth(sink: string, { wanted, months }: FlowSighting): Report | undefined {
  const missing = wanted.find(({ month }) => !months.some((present) => isDeepStrictEqual(present, month)));
  if (missing === undefined) return undefined;
  const { partition, month } = missing;
  const text = `${month.year}-${String(month.month).padStart(2, "0")}`;
  const message = `Sink ${sink}: partition ${partition} of the topic waits for the ledger's partition of ${text}, which is not there`;
  return { kind: "Waiting", reason: "PartitionMissing", message };
}

/** Without the number of records: it moves while the finding stays the same. */
function standStill(sink: string, stuck: readonly Backlog[], patienceMs: number): Report | undefined {
  if (stuck.length === 0) return undefined;
  const places = stuck.slice(0, 5).map(({ partition, nextOffset }) => `partition ${partition} at offset ${nextOffset}`);
  const more = stuck.length > 5 ? ` and ${stuck.length - 5} more` : "";
  const message = `Sink ${sink} has stored nothing for ${patienceMs / 1000} s or more though records wait: ${places.join(", ")}${more}; the log and /metrics of its pods say why`;
  return { kind: "Waiting", reason: "LagHigh", message };
}
