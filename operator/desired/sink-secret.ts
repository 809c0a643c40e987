import type { PostgresBackend } from "../config.ts";
import { pipelineOwner } from "./pipeline-owner.ts";
import { sinkLabels } from "./sink-labels.ts";

export interface LoginSecretInput {
  readonly pipeline: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly sink: string;
  readonly secret: string;
  readonly server: Pick<PostgresBackend, "host" | "port" | "sslMode">;
  readonly database: string;
  readonly username: string;
  readonly password: string;
  /** PEM, where the back-end has a CA of its own. */
  readonly ca?: string | undefined;
  /** `Retain` leaves the owner reference out, so that garbage collection leaves the Secret. */
  readonly policy: "Retain" | "Delete";
}

/** libpq's words for what the back-end calls `sslMode`. */
const SSL_MODES = {
  Disable: "disable",
  Prefer: "prefer",
  Require: "require",
  VerifyCa: "verify-ca",
  VerifyFull: "verify-full",
} as const;

/** A login as applications expect it: single fields, and the same as a URI. */
export function desiredLoginSecret(input: LoginSecretInput) {
  const { pipeline, server, database, username, password, ca } = input;
  const sslmode = SSL_MODES[server.sslMode];
  const authority = `${encodeURIComponent(username)}:${encodeURIComponent(password)}@${server.host}:${server.port}`;
  const fields: Record<string, string> = {
    host: server.host,
    port: String(server.port),
    dbname: database,
    username,
    password,
    sslmode,
    uri: `postgresql://${authority}/${encodeURIComponent(database)}?sslmode=${sslmode}`,
    ...(ca === undefined ? {} : { "ca.crt": ca }),
  };
  const { namespace, name, uid } = pipeline;
  const owner = pipelineOwner({ name, uid });
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: input.secret,
      namespace,
      labels: sinkLabels(pipeline, input.sink),
      ...(input.policy === "Delete" ? { ownerReferences: [owner] } : {}),
    },
    type: "Opaque",
    data: Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
    ),
  };
}
