import type { LedgerRole, Privileges } from "../desired/postgres-ledger.ts";
import { type LedgerNames, otherOf } from "../desired/postgres-names.ts";

/** An object of the ledger that has privileges. `DefaultPrivileges`: what the schema's future tables will have. */
export type Securable =
  | { readonly kind: "Database" | "Schema" | "DefaultPrivileges"; readonly name: string }
  | { readonly kind: "Relation"; readonly name: string };

/** Privileges by role, the owner's left out; `null` stands for PUBLIC. One may be `SELECT`, `SELECT*` with grant option, `UPDATE(raw)`. */
export type Acl = readonly { readonly grantee: string | null; readonly privileges: readonly string[] }[];

/** Absolute: whatever the role had is taken, column and grant-option privileges too, and these are given. */
export interface SetGrants {
  readonly kind: "SetGrants";
  readonly on: Securable;
  readonly to: string | null;
  readonly privileges: readonly string[];
  /** What was there; for the reader of a plan. */
  readonly was: readonly string[];
}

/**
 * Privileges on what is ours are owned in full: a grant made by hand is taken back. A login on its way out keeps what it
 * has of what it may have, until it goes itself.
 */
export function planGrants(on: Securable, wanted: Privileges, names: LedgerNames, observed: Acl): SetGrants[] {
  const desired = new Map<string | null, readonly string[]>(
    Object.entries(wanted).map(([role, privileges]) => [names[role as LedgerRole], privileges]),
  );
  const present = new Map(observed.map(({ grantee, privileges }) => [grantee, privileges]));
  for (const login of ["writer", "reader"] as const) {
    const other = names[otherOf[login]];
    const kept = present.get(other)?.filter((privilege) => wanted[login]?.includes(privilege));
    if (kept !== undefined) desired.set(other, kept);
  }
  const grantees = new Set([...desired.keys(), ...present.keys()]);

  return [...grantees].flatMap((to): SetGrants[] => {
    const privileges = sorted(desired.get(to) ?? []);
    const was = sorted(present.get(to) ?? []);
    return same(privileges, was) ? [] : [{ kind: "SetGrants", on, to, privileges, was }];
  });
}

const sorted = (privileges: readonly string[]) => [...privileges].sort();
const same = (a: readonly string[], b: readonly string[]) => a.join() === b.join();
