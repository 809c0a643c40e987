import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { type Rule, withRules } from "../rules.ts";
import { dnsSubdomain } from "./shared.ts";

/**
 * Inline connections: a server of the tenant's own, beside the back-ends of the platform. Whoever writes the resource
 * says where the operator dials, so the operator's configuration must allow it, and every Secret is of the resource's
 * own namespace: there is no field for another.
 */

const PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})";
const HOST = "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?";
const SERVER = new RegExp(`^(${HOST}|\\[[0-9a-fA-F:.]+\\]):${PORT}$`);

const secretRef = (keys: string, fallback = "Required") =>
  z
    .strictObject({
      name: dnsSubdomain().describe("Name of a Secret in the resource's own namespace. Required; immutable."),
    })
    .describe(`A Secret with ${keys}. ${fallback}; immutable, its content is read again at each look.`);

const AUTHORITY = "Default the system's authorities";

const kafkaTls = z.strictObject({
  caSecretRef: secretRef("ca.crt, the PEM certificates of the brokers' authority", AUTHORITY).optional(),
  clientCertificateSecretRef: secretRef("tls.crt and tls.key, in PEM", "Default no certificate").optional(),
});

const kafkaSasl = z.strictObject({
  mechanism: z
    .enum(["ScramSha512", "ScramSha256", "Plain"])
    .describe("How the login is proved. Required; immutable. Plain needs tls."),
  secretRef: secretRef("username and password"),
});

interface KafkaConnectionFields {
  tls?: unknown;
  sasl?: { mechanism: string } | undefined;
}

const plainNeedsTls: Rule<KafkaConnectionFields> = {
  kind: "Value",
  cel: "!has(self.sasl) || self.sasl.mechanism != 'Plain' || has(self.tls)",
  message: "sasl.mechanism Plain needs tls, if only tls: {}, or the password would go over the wire as it is: add it",
  field: "sasl.mechanism",
  holds: ({ tls, sasl }) => sasl?.mechanism !== "Plain" || tls !== undefined,
};

export const kafkaConnection = withRules(
  z.strictObject({
    bootstrapServers: z
      .array(
        z
          .string()
          .min(3)
          .max(260)
          .regex(SERVER, "host:port")
          .describe("One broker, as host:port. Required; immutable."),
      )
      .min(1)
      .max(20)
      .meta({ "x-kubernetes-list-type": "atomic" })
      .describe("Brokers to begin with, as host:port. Required; immutable."),
    tls: kafkaTls
      .optional()
      .describe("TLS, with the brokers' certificates and host names checked. Default none; immutable. Example: {}."),
    sasl: kafkaSasl.optional().describe("The login. Default none; immutable."),
  }),
  plainNeedsTls,
);
export const INLINE_KAFKA =
  "A cluster of one's own in place of a back-end, where the operator's configuration allows inline connections. Default none; immutable.";
export type KafkaConnection = z.output<typeof kafkaConnection>;

export const postgresConnection = z.strictObject({
  host: z
    .string()
    .min(1)
    .max(253)
    .regex(new RegExp(`^(${HOST}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$`), "a host name or an address")
    .describe("Name or address of the server. Required; immutable."),
  port: z.int().min(1).max(65_535).default(5432).describe("Port of the server. Default 5432; immutable."),
  sslMode: z
    .enum(["Disable", "Prefer", "Require", "VerifyCa", "VerifyFull"])
    .default("VerifyFull")
    .describe("How the link is secured, by libpq's names. Default VerifyFull; immutable."),
  caSecretRef: secretRef("ca.crt, the PEM certificates of the server's authority", AUTHORITY).optional(),
  adminSecretRef: secretRef(
    "username and password of a login with CREATEDB and CREATEROLE on a database named postgres",
  ),
});
export type PostgresConnection = z.output<typeof postgresConnection>;

interface Place {
  backendRef?: { name: string } | undefined;
  connection?: object | undefined;
}

const nameOf = ({ backendRef }: Place) => backendRef?.name ?? "default";

/** Where something lies does not change, and is said once. */
export const placeRules = (what: string): Rule<Place>[] => [
  {
    kind: "Value",
    cel: "!has(self.backendRef) || !has(self.connection)",
    message: `a ${what} back-end of the platform or a connection of one's own, not both: take out backendRef or connection`,
    field: "connection",
    holds: ({ backendRef, connection }) => backendRef === undefined || connection === undefined,
  },
  {
    kind: "Transition",
    cel:
      "(has(self.backendRef) ? self.backendRef.name : 'default') == " +
      "(has(oldSelf.backendRef) ? oldSelf.backendRef.name : 'default')",
    message: `the ${what} back-end cannot be changed: create a new resource that uses the other back-end`,
    field: "backendRef",
    holds: (self, oldSelf) => nameOf(self) === nameOf(oldSelf),
  },
  {
    kind: "Transition",
    cel: "has(self.connection) == has(oldSelf.connection) && (!has(self.connection) || self.connection == oldSelf.connection)",
    message: `the ${what} connection cannot be changed, added or removed: create a new resource that has the other one`,
    field: "connection",
    holds: (self, oldSelf) => isDeepStrictEqual(self.connection, oldSelf.connection),
  },
];
