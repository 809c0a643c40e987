import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { GROUP } from "../../crds/v1alpha1/shared.ts";
import type { PostgresBackend } from "../config.ts";
import type { LedgerNames } from "../desired/postgres-names.ts";
import type { SinkNames } from "../desired/sink-names.ts";
import { desiredLoginSecret } from "../desired/sink-secret.ts";
import { StalledError } from "../errors.ts";
import type { LedgerPasswords } from "../external/postgres-ledger.ts";
import { generatePassword } from "../external/scram.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import { FIELD_MANAGER } from "./field-manager.ts";

/** Under which key the permission probe passed: as long as it stands, a restart does not probe again. */
const PROBED = `${GROUP}/probed`;

export interface Secret extends KubeObject {
  data?: Record<string, string>;
}

export interface CredentialsInput {
  readonly pipeline: AuditPipeline;
  readonly sink: SinkSpec;
  readonly names: SinkNames;
  readonly backend: PostgresBackend;
  readonly ledger: LedgerNames;
  /** PEM, where the back-end has an authority of its own. */
  readonly ca: string | undefined;
}

/** The passwords in force, or new ones where a Secret is missing or was spoilt. Nothing is written yet. */
export async function readPasswords(
  input: CredentialsInput,
  store: ObjectStore,
): Promise<LedgerPasswords & { probed?: string }> {
  const { names, sink } = input;
  const writer = await ownSecret(input, names.writerSecret, store);
  const reader = sink.postgres.roles.reader.login ? await ownSecret(input, names.readerSecret, store) : undefined;
  const probed = writer?.metadata.annotations?.[PROBED];
  return {
    writer: passwordIn(writer) ?? generatePassword(),
    ...(sink.postgres.roles.reader.login ? { reader: passwordIn(reader) ?? generatePassword() } : {}),
    ...(probed === undefined ? {} : { probed }),
  };
}

/** Writes the Secrets: before the server learns a password, so that a crash in between leaves one that can be set again. */
export async function writeSecrets(
  input: CredentialsInput,
  passwords: LedgerPasswords,
  probed: string | undefined,
  store: ObjectStore,
): Promise<void> {
  const { names, ledger } = input;
  await applySecret(
    input,
    { secret: names.writerSecret, username: ledger.writer, password: passwords.writer },
    probed,
    store,
  );
  if (passwords.reader !== undefined) {
    await applySecret(
      input,
      { secret: names.readerSecret, username: ledger.reader, password: passwords.reader },
      undefined,
      store,
    );
  }
}

async function applySecret(
  { pipeline, sink, backend, ledger, ca }: CredentialsInput,
  login: { secret: string; username: string; password: string },
  probed: string | undefined,
  store: ObjectStore,
): Promise<void> {
  const { namespace, name, uid } = pipeline.metadata;
  const secret = desiredLoginSecret({
    pipeline: { namespace, name, uid },
    sink: sink.name,
    server: backend,
    database: ledger.database,
    ca,
    policy: sink.deletionPolicy.secrets,
    ...login,
  });
  const annotations = probed === undefined ? {} : { annotations: { [PROBED]: probed } };
  await store.apply({ ...secret, metadata: { ...secret.metadata, ...annotations } }, { fieldManager: FIELD_MANAGER });
}

/** @throws StalledError SecretConflict when a Secret of that name belongs to somebody else. */
async function ownSecret(
  { pipeline, sink }: CredentialsInput,
  name: string,
  store: ObjectStore,
): Promise<Secret | undefined> {
  const { namespace } = pipeline.metadata;
  const secret = await store.get<Secret>({ kind: "Secret", namespace, name });
  const labels = secret?.metadata.labels;
  if (
    secret === undefined ||
    (labels?.[`${GROUP}/pipeline`] === pipeline.metadata.name && labels[`${GROUP}/sink`] === sink.name)
  )
    return secret;
  throw new StalledError("SecretConflict", `Secret ${name} exists and is not this sink's; rename it, or the sink`);
}

/** What we generate is 43 characters of base64url; anything much shorter, or not printable ASCII, is not a password of ours. */
function passwordIn(secret: Secret | undefined): string | undefined {
  const encoded = secret?.data?.["password"];
  if (encoded === undefined) return undefined;
  const password = Buffer.from(encoded, "base64").toString("latin1");
  return /^[!-~]{20,200}$/.test(password) ? password : undefined;
}
