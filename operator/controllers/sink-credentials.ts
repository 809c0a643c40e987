import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { GROUP } from "../../crds/v1alpha1/shared.ts";
import type { PostgresBackend } from "../config.ts";
import { inForce, type LedgerNames, type LoginKind, otherOf } from "../desired/postgres-names.ts";
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

/** What the Secrets say. */
export interface KeptLogins {
  readonly passwords: LedgerPasswords;
  /** Of the logins wanted, those whose Secret is missing, or says neither of the two names, or no password of ours. */
  readonly spoilt: readonly LoginKind[];
  /** With the logins in force that the Secrets name. */
  readonly ledger: LedgerNames;
  /** The key under which the permission probe passed. */
  readonly probed: string | undefined;
}

/** The logins in force, with new passwords where a Secret is missing or was spoilt. Nothing is written yet. */
export async function readLogins(input: CredentialsInput, store: ObjectStore): Promise<KeptLogins> {
  const { names, sink } = input;
  const writer = await ownSecret(input, names.writerSecret, store);
  const reader = sink.postgres.roles.reader.login ? await ownSecret(input, names.readerSecret, store) : undefined;
  const wanted: readonly (readonly [LoginKind, Secret | undefined])[] = [
    ["writer", writer],
    ...(sink.postgres.roles.reader.login ? [["reader", reader] as const] : []),
  ];
  return {
    passwords: {
      writer: passwordIn(writer) ?? generatePassword(),
      ...(sink.postgres.roles.reader.login ? { reader: passwordIn(reader) ?? generatePassword() } : {}),
    },
    spoilt: wanted.flatMap(([login, secret]) =>
      passwordIn(secret) === undefined || !isNameOf(input.ledger, login, usernameIn(secret)) ? [login] : [],
    ),
    ledger: wanted.reduce((ledger, [login, secret]) => inForce(ledger, login, usernameIn(secret)), input.ledger),
    probed: writer?.metadata.annotations?.[PROBED],
  };
}

const isNameOf = (ledger: LedgerNames, login: LoginKind, role: string | undefined) =>
  role === ledger[login] || role === ledger[otherOf[login]];

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
  const password = textIn(secret, "password");
  return password !== undefined && /^[!-~]{20,200}$/.test(password) ? password : undefined;
}

const usernameIn = (secret: Secret | undefined) => textIn(secret, "username");

function textIn(secret: Secret | undefined, key: string): string | undefined {
  const encoded = secret?.data?.[key];
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("latin1");
}
