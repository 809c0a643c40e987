import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import { WaitingError } from "../errors.ts";
import type { LedgerAction, ObservedLedger } from "../plan/postgres-ledger.ts";
import type { AdoptionPolicy } from "../plan/postgres-ownership.ts";
import { monthName, type ObservedRetention, type RetentionAction } from "../plan/postgres-retention.ts";
import type { PostgresConnections, PostgresServer } from "./connect-postgres.ts";
import { applyLedgerAction, existsAlready, type LedgerTarget } from "./postgres-apply.ts";
import { fromPostgres } from "./postgres-errors.ts";
import { fenceOtherWriter } from "./postgres-fence.ts";
import { observeLedger } from "./postgres-observe.ts";
import { type ProbeResult, probeKey, probeLedger, refusedLogins } from "./postgres-probe.ts";
import { isNoEntry, type Progress, readProgress } from "./postgres-progress.ts";
import { applyRetention, observeRetention } from "./postgres-retention.ts";
import { scramVerifier } from "./scram.ts";

export type { ProbeResult } from "./postgres-probe.ts";
export type { Progress } from "./postgres-progress.ts";

export interface LedgerPasswords {
  readonly writer: string;
  readonly reader?: string | undefined;
}

/** One sink's ledger in PostgreSQL; the one thing the controllers call. */
export interface PostgresLedger {
  observe(): Promise<ObservedLedger>;
  apply(action: LedgerAction): Promise<void>;
  /** Empty while there is no table of ours. Two short reads: fit for polling. */
  readProgress(): Promise<readonly Progress[]>;
  /** Months and their drops; asked for only once the ledger is found to be ours. */
  observeRetention(): Promise<ObservedRetention>;
  /** One step of a drop, safe to repeat; answers how many events it took away. */
  retire(action: RetentionAction): Promise<{ readonly events: number }>;
  /** Logs in as writer (and reader) and sees what is allowed and what is refused; changes nothing. */
  probe(): Promise<ProbeResult>;
  /** Logs in as each, and tries nothing: which ones the server does not let in. */
  refusedLogins(): Promise<ProbeResult["rejected"]>;
  probeKey(): string;
  /** See postgres-fence.ts. */
  fenceOtherWriter(): Promise<number>;
}

/** `passwords` are needed for apply of SetVerifier and for probe. */
export interface LedgerOptions {
  readonly server: PostgresServer;
  readonly identity: LedgerIdentity;
  readonly names: LedgerNames;
  readonly passwords?: LedgerPasswords | undefined;
  /** Decides whether a database that may be taken over is looked into. Default Never. */
  readonly adoption?: AdoptionPolicy | undefined;
}

export function postgresLedger(options: LedgerOptions & { readonly connections: PostgresConnections }): PostgresLedger {
  const { connections, server, identity, names, passwords, adoption = "Never" } = options;
  const target: LedgerTarget = {
    connections,
    server,
    identity,
    names,
    verifier: (login) => scramVerifier(required(passwords?.[login], login)),
  };
  const logins = () => ({ writer: required(passwords?.writer, "writer"), reader: passwords?.reader });
  const what = (doing: string) => `${doing} database ${names.database} on back-end ${server.name}`;
  const observe = () =>
    observeLedger(connections, server, names, identity, adoption).catch((error: unknown) =>
      fromPostgres(error, what("Looking at")),
    );

  return {
    observe,

    async apply(action) {
      try {
        await applyLedgerAction(target, action);
      } catch (error) {
        if (existsAlready(error)) {
          const message = `${action.kind}: it was made by somebody else just now; looking at whose it is`;
          throw new WaitingError("ObjectBusy", message, { requeueAfterMs: 1_000, cause: error });
        }
        fromPostgres(error, what(`${action.kind} for`));
      }
    },

    observeRetention: () =>
      observeRetention(target).catch((error: unknown) =>
        isNoEntry(error) ? { attached: [], drops: [] } : fromPostgres(error, what("Looking at the months of")),
      ),

    retire: (action) =>
      applyRetention(target, action).catch((error: unknown) =>
        fromPostgres(error, what(`${action.kind} of ${monthName(action.month)} in`)),
      ),

    readProgress: () =>
      readProgress(target).catch((error: unknown) => fromPostgres(error, what("Reading progress in"))),

    probe: () => probeLedger({ connections, server, names, ...logins() }),
    refusedLogins: () => refusedLogins({ connections, server, names, ...logins() }),
    probeKey: () => probeKey(names, logins()),

    fenceOtherWriter: () =>
      fenceOtherWriter(target).catch((error: unknown) => fromPostgres(error, what("Fencing the writers of"))),
  };
}

function required(password: string | undefined, login: string): string {
  if (password === undefined) throw new Error(`No password was handed over for the ${login}`);
  return password;
}
