import type { Month } from "./postgres-month.ts";
import type { LedgerIdentity, LedgerNames } from "./postgres-names.ts";

export interface Ledger {
  readonly names: LedgerNames;
  readonly identity: LedgerIdentity;
  readonly months: readonly Month[];
  /** A fingerprint (external/scram.ts) of the password each login should have; no reader: it may not log in. */
  readonly credentials: { readonly writer: string; readonly reader?: string | undefined };
}
