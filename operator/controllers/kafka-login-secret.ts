import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaBackend } from "../config.ts";
import type { PrincipalNames } from "../desired/kafka-principal.ts";
import {
  desiredKafkaSecret,
  ISSUE_REQUEST,
  ISSUED_AT,
  kafkaSecretName,
  OTHER_PRINCIPAL,
  type PrincipalIssue,
} from "../desired/kafka-secret.ts";
import { PIPELINE_LABEL } from "../desired/sink-labels.ts";
import { StalledError } from "../errors.ts";
import type { KafkaLogin } from "../external/kafka-link.ts";
import type { IssuedPrincipal } from "../plan/principal-rotation.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import { rfc3339 } from "./deps.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import type { Secret } from "./sink-credentials.ts";

interface SecretStep {
  readonly pipeline: AuditPipeline;
  readonly backend: Pick<KafkaBackend, "bootstrapServers">;
  /** PEM, where the back-end has an authority of its own. */
  readonly ca: string | undefined;
}

/** @throws StalledError SecretConflict when a Secret of that name belongs to somebody else. */
export async function readKafkaSecret({ metadata: { namespace, name } }: AuditPipeline, store: ObjectStore) {
  const secretName = kafkaSecretName(name);
  const there = await store.get<Secret>({ kind: "Secret", namespace, name: secretName });
  if (there === undefined || there.metadata.labels?.[PIPELINE_LABEL] === name) return there;
  throw new StalledError(
    "SecretConflict",
    `Secret ${secretName} exists and is not this pipeline's; rename one of them`,
  );
}

/** `issue`: of a user that is the pipeline's own. @throws StalledError SecretConflict */
export async function writeKafkaSecret(
  { pipeline, backend, ca }: SecretStep,
  login: KafkaLogin,
  issue: PrincipalIssue | undefined,
  store: ObjectStore,
): Promise<void> {
  await readKafkaSecret(pipeline, store);
  const { namespace, name, uid } = pipeline.metadata;
  const { bootstrapServers } = backend;
  const desired = desiredKafkaSecret({ pipeline: { namespace, name, uid }, bootstrapServers, ca, issue, ...login });
  await store.apply(desired, { fieldManager: FIELD_MANAGER });
}

export const writePrincipal = (
  step: SecretStep,
  { username, password, issuedAtMs, request, other }: IssuedPrincipal,
  store: ObjectStore,
): Promise<void> =>
  writeKafkaSecret(
    step,
    { user: { username, password } },
    { issuedAt: rfc3339(new Date(issuedAtMs)), request, other },
    store,
  );

/** The user in our Secret; undefined where there is none, or somebody spoilt it. `nowMs`: the age of one whose age nobody knows. */
export function principalIn(
  secret: Secret | undefined,
  names: PrincipalNames,
  nowMs: number,
): IssuedPrincipal | undefined {
  const [username, password] = [textIn(secret, "username"), textIn(secret, "password")];
  if (!names.includes(username) || !/^[!-~]{20,200}$/.test(password)) return undefined;
  const {
    [ISSUED_AT]: issuedAt = "",
    [ISSUE_REQUEST]: request,
    [OTHER_PRINCIPAL]: other,
  } = secret?.metadata.annotations ?? {};
  const issuedAtMs = Date.parse(issuedAt);
  return {
    username,
    password,
    issuedAtMs: Number.isNaN(issuedAtMs) ? nowMs : issuedAtMs,
    request,
    other: other === "Making" || other === "Expiring" ? other : undefined,
  };
}

/** The users that a Secret says are ours. */
export function keptNames(secret: Secret | undefined, names: PrincipalNames): string[] {
  const user = principalIn(secret, names, 0);
  if (user === undefined) return [];
  return user.other === undefined ? [user.username] : [...names];
}

const textIn = (secret: Secret | undefined, key: string) =>
  Buffer.from(secret?.data?.[key] ?? "", "base64").toString("latin1");
