import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { z } from "zod";
import { AUDIT_PIPELINE, type AuditPipeline, type SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { sink as sinkSchema } from "../../crds/v1alpha1/pipeline-sink.ts";
import { desiredMonths, type Month } from "../desired/postgres-month.ts";
import type { PostgresLedger } from "../external/postgres-ledger.ts";
import type { ObservedLedger } from "../plan/postgres-ledger.ts";
import { isOwn } from "../plan/postgres-ownership.ts";
import type { Key } from "../runtime/controller.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import type { Deps } from "./deps.ts";
import { ledgerPlace } from "./ledger-place.ts";
import { ledgerAccess } from "./sink-ledger.ts";
import { isDropDue, oldestKeptMs } from "./sink-retention.ts";

/** A sink that met a missing month waits for it, so this is how long it waits at the most. */
const WANTED_POLL_MS = 10_000;
/** How often the months ahead are looked at: far more often than a month ends. */
const AHEAD_POLL_MS = 600_000;

/**
 * Month partitions must be there whatever else is wrong with a pipeline: also while it is paused, stopped, or its spec is
 * refused. So they are kept apart from the passes: what sinks ask for (`progress.wanted_month`) within seconds, the months
 * ahead many times a day. A server that does not answer holds up nobody else.
 */
export async function keepMonths(
  deps: Deps,
  store: ObjectStore,
  wake: (key: Key) => void,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const lookedAhead = new Map<string, number>();
  const away = new Set<string>();
  while (!signal.aborted) {
    await sleep(WANTED_POLL_MS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const { items } = await store.list<AuditPipeline>(AUDIT_PIPELINE.kind);
    await Promise.all(items.flatMap((pipeline) => madeSinks(pipeline).map((sink) => keep(pipeline, sink))));
  }

  async function keep(pipeline: AuditPipeline, sink: SinkSpec): Promise<void> {
    const { namespace, name, uid } = pipeline.metadata;
    const id = `${uid}/${sink.name}`;
    try {
      const { ledger, ...place } = ledgerPlace(pipeline, sink, store, deps);
      const access = ledgerAccess({ ledger, ...place }, deps);
      const progress = await access.readProgress();
      if (away.delete(id)) wake({ namespace, name });
      const wanted = progress.flatMap(({ wantedMonth }) => wantedMonth ?? []);
      const isAheadDue = performance.now() - (lookedAhead.get(id) ?? -AHEAD_POLL_MS) >= AHEAD_POLL_MS;
      if (wanted.length === 0 && !isAheadDue) return;

      const { precreate } = sink.postgres.partitioning;
      const months = desiredMonths({
        nowMs: deps.now().getTime(),
        precreate,
        wanted,
        notBeforeMs: oldestKeptMs(sink, deps),
      });
      const observed = await access.observe();
      // A spec may have come to name another's ledger; the pass says so.
      if (!isOwn(observed.roles.owner?.marker, place.identity)) return;
      const attached = await attachMissing(access, observed, ledger.schema, months);
      lookedAhead.set(id, performance.now());
      // Made here, dropped in a pass only: a resource that is paused or refused loses nothing.
      if (isAheadDue && (await isDropDue(sink, access, deps))) wake({ namespace, name });
      if (attached.length === 0) return;
      log.info({ namespace, name, sink: sink.name, months: attached }, "Attached months");
      wake({ namespace, name });
    } catch (error) {
      // The poll is the first to notice that a server went away: the status should not wait for the next resync.
      if (!away.has(id)) wake({ namespace, name });
      away.add(id);
      log.debug({ err: error, namespace, name, sink: sink.name }, "Could not look at months");
    }
  }
}

/** Sinks whose ledger is there, of pipelines that are not going away. Of a spec that is no list of sinks, none. */
function madeSinks({ metadata, spec, status }: AuditPipeline): SinkSpec[] {
  if (metadata.deletionTimestamp !== undefined) return [];
  const { data } = z.object({ sinks: z.array(sinkSchema) }).safeParse(spec);
  return (data?.sinks ?? []).filter((sink) =>
    status?.sinks?.some(({ name, postgres }) => name === sink.name && postgres !== undefined),
  );
}

async function attachMissing(
  access: PostgresLedger,
  { months: present }: ObservedLedger,
  schema: string,
  months: readonly Month[],
): Promise<readonly Month[]> {
  const missing = months.filter(({ year, month }) => !present.some((one) => one.year === year && one.month === month));
  for (const month of missing) await access.apply({ kind: "AttachMonth", schema, month });
  return missing;
}
