import { setTimeout as sleep } from "node:timers/promises";
import type { Month } from "../desired/postgres-month.ts";
import type { PostgresLedger } from "../external/postgres-ledger.ts";
import type { Key } from "../runtime/controller.ts";

/** A sink that met a missing month waits for it, so this is how long it waits at the most. */
const POLL_MS = 10_000;

interface Watched {
  readonly key: Key;
  readonly access: Pick<PostgresLedger, "readProgress">;
  readonly months: readonly Month[];
}

export type WantedMonths = ReturnType<typeof wantedMonths>;

/**
 * Looks at the ledgers of the last passes for months that a sink asks for (`progress.wanted_month`), and wakes the
 * pipeline. Reads only; a server that does not answer is the next pass's trouble.
 */
export function wantedMonths() {
  const watched = new Map<string, Watched>();
  const idOf = ({ namespace, name }: Key, sink: string) => `${namespace}/${name}/${sink}`;

  return {
    remember(key: Key, sink: string, { access, months }: Omit<Watched, "key">): void {
      watched.set(idOf(key, sink), { key: { namespace: key.namespace, name: key.name }, access, months });
    },

    forget(key: Key): void {
      for (const id of watched.keys()) if (id.startsWith(idOf(key, ""))) watched.delete(id);
    },

    async watch(wake: (key: Key) => void, signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        await sleep(POLL_MS, undefined, { signal }).catch(() => {});
        for (const ledger of watched.values()) if (await wantsMonth(ledger)) wake(ledger.key);
      }
    },
  };
}

async function wantsMonth({ access, months }: Watched): Promise<boolean> {
  const progress = await access.readProgress().catch(() => []);
  return progress.some(
    ({ wantedMonth: wanted }) =>
      wanted !== undefined && !months.some(({ year, month }) => year === wanted.year && month === wanted.month),
  );
}
