import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import type { Plan } from "./plan.ts";
import type { LedgerAction, ObservedLedger } from "./postgres-ledger.ts";

export interface TeardownPolicy {
  readonly database: "Retain" | "Delete";
  /** The writer's logins; owner and reader stay as long as the database. */
  readonly roles: "Retain" | "Delete";
  /** The annotation confirm-delete names the resource, and the back-end allows deletes: else Delete of the database is Retain. */
  readonly mayDestroy: boolean;
}

/** For the receipt and the inventory. */
export interface LedgerItem {
  readonly kind: "PostgresDatabase" | "PostgresSchema" | "PostgresRole";
  readonly name: string;
  readonly action: "Deleted" | "Retained";
  readonly reason: string;
}

/** The workloads must be stopped before. Not ours by marker: left alone, and a refusal says so. */
export function planTeardown(
  _names: LedgerNames,
  _identity: LedgerIdentity,
  _observed: ObservedLedger,
  _policy: TeardownPolicy,
): Plan<LedgerAction> & { readonly items: readonly LedgerItem[] } {
  throw new Error("not yet");
}
