import type { LedgerNames } from "../desired/postgres-names.ts";
import type { SetGrants } from "./postgres-grants.ts";
import type { LedgerAction } from "./postgres-ledger.ts";

/**
 * Actions that put something back or bring it into line, in the words of what was found. The others, which go with time
 * (months), with a password or with a mark, say nothing of a ledger's shape.
 */
export function differenceOf(action: LedgerAction): string | undefined {
  switch (action.kind) {
    case "SetLogin":
      return `role ${action.role} may ${action.login ? "not log in" : "log in"}`;
    case "SetRoleSettings":
      return `role ${action.role} does not have ${Object.entries(action.settings)
        .map(([name, value]) => `${name}=${value}`)
        .join(", ")}`;
    case "TakeAttribute":
      return `role ${action.role} has ${action.attribute}`;
    case "SetGrants":
      return grantDifference(action);
    case "CreateTables":
      return `missing: ${action.missing.join(", ")}`;
    case "CreateOwnerRole":
    case "CreateLoginRole":
      return `role ${action.role} is missing`;
    case "CreateDatabase":
      return `database ${action.database} is missing`;
    case "CreateSchema":
      return `schema ${action.schema} is missing`;
    case "AdoptSchema":
      return `schema ${action.schema} belongs to role ${action.from}`;
    case "MarkOwned":
      return `${action.object.toLowerCase()} ${action.name} has no marker`;
    default:
      return undefined;
  }
}

function grantDifference({ on, to, was, privileges }: SetGrants): string {
  const holder = to ?? "PUBLIC";
  const said = (list: readonly string[]) => (list.length === 0 ? "nothing" : list.join(", "));
  return `${holder} has ${said(was)} on ${on.kind} ${on.name}, not ${said(privileges)}`;
}

/** Whether an action only completes what is not there, rather than change what is. */
export function isAboutMissing(action: LedgerAction, names: LedgerNames, missing: ReadonlySet<string>): boolean {
  switch (action.kind) {
    case "CreateOwnerRole":
    case "CreateLoginRole":
    case "CreateDatabase":
    case "CreateSchema":
    case "MarkOwned":
      return true;
    case "SetLogin":
    case "SetRoleSettings":
      return missing.has(action.role);
    case "SetGrants":
      return (
        (action.to !== null && missing.has(action.to)) || (missing.has(names.schema) && action.on.kind !== "Database")
      );
    case "CreateTables":
      return missing.has(names.schema);
    default:
      return false;
  }
}
