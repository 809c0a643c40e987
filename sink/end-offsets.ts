import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import type { EventLogReader } from "./kafka/port.ts";
import type { Partitions } from "./partitions.ts";

const INTERVAL_MS = 5_000;

/**
 * Where the logs end, whether anything is fetched or not: while the store is down nothing is, and the lag grows just then.
 * What cannot be asked keeps what was known last. Runs until `signal` is aborted.
 */
export async function followEndOffsets(
  reader: Pick<EventLogReader, "endOffsets">,
  partitions: Partitions,
  log: Logger,
  signal: AbortSignal,
  intervalMs = INTERVAL_MS,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const asked = [...partitions.all];
      const found = await reader.endOffsets(asked.map(({ number }) => number));
      for (const partition of asked) partition.endOffset = found.get(partition.number) ?? partition.endOffset;
    } catch (error) {
      log.debug({ err: error }, "Could not ask where the log ends");
    }
    await sleep(intervalMs, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
