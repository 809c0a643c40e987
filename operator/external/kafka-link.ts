import { readFile } from "node:fs/promises";
import { isIP, type LookupFunction } from "node:net";
import { z } from "zod";
import type { KafkaBackend } from "../config.ts";
import { WaitingError } from "../errors.ts";
import { guardedLookup } from "./inline-address.ts";
import { readSecretFile } from "./secret-file.ts";

/** What it takes to reach a back-end's brokers. */
export type KafkaServer = Pick<KafkaBackend, "name" | "bootstrapServers" | "tls" | "sasl" | "inline">;

/** A login with Kafka: a user, a client's certificate, or both. */
export interface KafkaLogin {
  readonly user?: { readonly username: string; readonly password: string };
  /** PEM. */
  readonly certificate?: { readonly cert: string; readonly key: string };
}

/** TLS and SASL as @platformatic/kafka takes them. */
export interface KafkaLink {
  readonly tls?: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    /** Of a connection of a tenant's own. */
    readonly lookup?: LookupFunction;
  };
  readonly tlsServerName?: string | boolean;
  readonly sasl?: {
    readonly mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
    readonly username: string;
    readonly password: string;
  };
}

const MECHANISMS = { Plain: "PLAIN", ScramSha256: "SCRAM-SHA-256", ScramSha512: "SCRAM-SHA-512" } as const;

/** @throws WaitingError SecretMissing: a file that the configuration names is not there, or not what it must be */
export async function readOperatorLink(server: KafkaServer): Promise<KafkaLink> {
  const { tls, sasl, inline } = server;
  if (inline !== undefined) return kafkaLink(server, await inline.read());
  const user = sasl === undefined ? undefined : await readUser(server, sasl.secretFile);
  const certificate =
    tls?.certFile === undefined || tls.keyFile === undefined
      ? undefined
      : {
          cert: await readPem(server, "tls.certFile", tls.certFile),
          key: await readPem(server, "tls.keyFile", tls.keyFile),
        };
  return kafkaLink(server, {
    ...(user === undefined ? {} : { user }),
    ...(certificate === undefined ? {} : { certificate }),
  });
}

/** The same brokers by another login. */
export async function kafkaLink(server: KafkaServer, { user, certificate }: KafkaLogin): Promise<KafkaLink> {
  const { tls, sasl, inline } = server;
  const guard = inline === undefined ? {} : { lookup: guardedLookup(inline) };
  const ca = await readKafkaCa(server);
  return {
    ...(tls === undefined
      ? {}
      : {
          tls: { ...(ca === undefined ? {} : { ca }), ...certificate, ...guard },
          ...serverName(server, tls.serverName),
        }),
    ...(sasl === undefined || user === undefined ? {} : { sasl: { mechanism: MECHANISMS[sasl.mechanism], ...user } }),
  };
}

/** Some clusters are told apart by the name alone (SNI), which TLS has no room for where it is an address. */
function serverName({ bootstrapServers }: KafkaServer, given: string | undefined): Pick<KafkaLink, "tlsServerName"> {
  if (given !== undefined) return { tlsServerName: given };
  const host = (address: string) => address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
  return bootstrapServers.some((address) => isIP(host(address)) !== 0) ? {} : { tlsServerName: true };
}

/** PEM; undefined where the system's own authorities are meant, or there is no TLS. @throws WaitingError SecretMissing */
export async function readKafkaCa(server: Pick<KafkaServer, "name" | "tls" | "inline">): Promise<string | undefined> {
  if (server.inline !== undefined) return server.tls === undefined ? undefined : (await server.inline.read()).ca;
  const file = server.tls?.caFile;
  return file === undefined ? undefined : readPem(server, "tls.caFile", file);
}

const clientSecret = z
  .object({
    username: z.string().min(1).optional(),
    password: z.string().min(1).optional(),
    "tls.crt": z.string().includes("-----BEGIN CERTIFICATE-----").optional(),
    "tls.key": z.string().includes("PRIVATE KEY-----").optional(),
  })
  .refine((secret) => (secret.username === undefined) === (secret.password === undefined))
  .refine((secret) => (secret["tls.crt"] === undefined) === (secret["tls.key"] === undefined))
  .refine((secret) => secret.username !== undefined || secret["tls.crt"] !== undefined);

/** What the platform gives to sinks that have no principal of their own. @throws WaitingError SecretMissing */
export async function readClientLogin(server: Pick<KafkaBackend, "name">, file: string): Promise<KafkaLogin> {
  const hint = "it must be YAML or a directory, with username and password, or tls.crt and tls.key (PEM), or all four";
  const parsed = clientSecret.safeParse(await readContent(server, "clientSecretFile", file, hint));
  if (!parsed.success) throw unusable(server, "clientSecretFile", "is not usable", hint);
  const { username, password, "tls.crt": cert, "tls.key": key } = parsed.data;
  return {
    ...(username === undefined || password === undefined ? {} : { user: { username, password } }),
    ...(cert === undefined || key === undefined ? {} : { certificate: { cert, key } }),
  };
}

const userSecret = z.object({ username: z.string().min(1), password: z.string().min(1) });

async function readUser(server: KafkaServer, file: string): Promise<z.infer<typeof userSecret>> {
  const hint = "it must be YAML {username, password}, or a directory with files of those names";
  const parsed = userSecret.safeParse(await readContent(server, "sasl.secretFile", file, hint));
  if (parsed.success) return parsed.data;
  throw unusable(server, "sasl.secretFile", "is not usable", hint);
}

const readContent = (server: Pick<KafkaServer, "name">, field: string, file: string, hint: string) =>
  readSecretFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw unusable(server, field, `cannot be read (${cause.code ?? "not YAML"})`, hint);
  });

async function readPem(server: Pick<KafkaServer, "name">, field: string, file: string): Promise<string> {
  const hint = "put PEM there";
  const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw unusable(server, field, `cannot be read (${cause.code})`, hint);
  });
  if (text.includes("-----BEGIN ")) return text;
  throw unusable(server, field, "holds no PEM", hint);
}

/** The field and the back-end, and no path: a tenant reads this. */
const unusable = ({ name }: Pick<KafkaServer, "name">, field: string, what: string, hint: string) =>
  new WaitingError("SecretMissing", `${field} of Kafka back-end ${name} ${what}: ${hint}`, { requeueAfterMs: 10_000 });
