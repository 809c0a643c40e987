import type { PostgresLedger } from "../external/postgres-ledger.ts";
import type { LedgerAction } from "../plan/postgres-ledger.ts";
import { monthName } from "../plan/postgres-retention.ts";
import type { Record } from "./step.ts";

/** Observes the ledger and changes nothing there. Nobody logs in either: a login that is not there yet cannot be tried. */
export function recordedLedger(ledger: PostgresLedger, database: string, record: Record): PostgresLedger {
  return {
    observe: () => ledger.observe(),
    readProgress: () => ledger.readProgress(),
    async apply(action) {
      record("PostgreSQL", action.kind, detail(action, database));
    },
    observeRetention: () => ledger.observeRetention(),
    async retire(action) {
      // One line a month: what a person wants to know is what goes.
      if (action.kind === "DropMonth")
        record(
          "PostgreSQL",
          action.kind,
          `${database}: month ${monthName(action.month)} (${action.month.table}), its ids and conflicts`,
        );
      return { events: 0 };
    },
    probe: async () => ({ ok: true, failures: [], rejected: [], key: ledger.probeKey() }),
    refusedLogins: async () => [],
    fenceOtherWriter: async () => 0,
    probeKey: () => ledger.probeKey(),
  };
}

/** Everything of an action but its markers. */
function detail(action: LedgerAction, database: string): string {
  const { kind: _, ...rest } = action;
  const fields = Object.entries(rest).filter(([key]) => key !== "marker" && key !== "database");
  const text = fields
    .map(([key, value]) => `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
  return text === "" ? database : `${database}: ${text}`;
}
