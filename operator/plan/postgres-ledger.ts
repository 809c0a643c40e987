import type { Ledger } from "../desired/postgres-ledger.ts";
import type { Month } from "../desired/postgres-month.ts";
import type { LedgerIdentity } from "../desired/postgres-names.ts";
import type { Plan } from "./plan.ts";

/** What stands in COMMENT on what is ours. `credential`: on a login, the fingerprint of the password it has. */
export interface Marker extends LedgerIdentity {
  readonly state: "Owned" | "Released";
  readonly credential?: string;
}

export interface ObservedLedger {
  readonly mode: "Database" | "Schema";
  readonly months: readonly Month[];
  // and roles, database, schema, relations, grants: for planLedger only
}

/** Printable: no action carries a secret. */
export type LedgerAction = { readonly kind: "CreateOwnerRole" | "..." };

/**
 * Refusals: RoleConflict, DatabaseConflict, SchemaConflict (nothing is done).
 * `rejected`: logins whose password the server refused (the probe says so): their verifier is set again.
 */
export function planLedger(
  _desired: Ledger,
  _observed: ObservedLedger,
  _hints?: { readonly rejected?: readonly ("writer" | "reader")[] },
): Plan<LedgerAction> {
  throw new Error("not yet");
}
