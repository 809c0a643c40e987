import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { allowsAdoption, type PostgresBackend } from "../config.ts";
import { type LedgerIdentity, type LedgerNames, ledgerNames } from "../desired/postgres-names.ts";
import type { AdoptionPolicy } from "../plan/postgres-ownership.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import { postgresBackendOf } from "./backends.ts";
import type { Deps } from "./deps.ts";

/** Where one sink's ledger is, and whose it is. */
export interface LedgerPlace {
  readonly backend: PostgresBackend;
  readonly identity: LedgerIdentity;
  readonly ledger: LedgerNames;
  /** Never, where the back-end does not allow more. */
  readonly adoption: AdoptionPolicy;
  readonly driftPolicy: SinkSpec["driftPolicy"];
}

/** @throws StalledError BackendNotFound, NamespaceNotAllowed, InlineConnectionDenied, NameNotAllowed */
export function ledgerPlace(
  { metadata }: AuditPipeline,
  sink: SinkSpec,
  store: ObjectStore,
  { config }: Deps,
): LedgerPlace {
  const { namespace, name, uid } = metadata;
  const backend = postgresBackendOf(config, { namespace, ...sink.postgres }, store);
  const identity = { clusterId: config.clusterId, namespace, name, uid, sink: sink.name };
  const { database, schema } = sink.postgres;
  return {
    backend,
    identity,
    ledger: ledgerNames(identity, { database, schema }, backend),
    adoption: allowsAdoption(backend) ? sink.adoptionPolicy : "Never",
    driftPolicy: sink.driftPolicy,
  };
}
