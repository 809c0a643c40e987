import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Authority, authorityIn, type Certificate, newAuthority, pemKeystore } from "./certificates.ts";
import { type Kafka, type KafkaListener, type KafkaOptions, startKafka } from "./kafka.ts";
import { freePorts } from "./ports.ts";

/** Where a broker with TLS, passwords, client certificates and an authorizer is: text, for another process too. */
export interface SecuredKafkaPlace {
  /** Its folder; `server.log` is in it. */
  readonly dir: string;
  readonly addresses: Readonly<Record<Listener, string>>;
  readonly plaintext: string;
}

/** Its addresses, each on a listener of its own, and what it takes to be let in there: */
export interface SecuredKafka {
  readonly dir: string;
  /** TLS with SCRAM-SHA-512 or PLAIN. */
  readonly saslSsl: string;
  /** TLS with a client's certificate; the principal is its distinguished name, such as `User:CN=admin`. */
  readonly mtls: string;
  /** As saslSsl, with a server's certificate that expired yesterday. */
  readonly expired: string;
  /** As saslSsl, with a certificate for a host that this is not. */
  readonly otherHost: string;
  /** As saslSsl; who does not log in again within three seconds is cut off. */
  readonly reauthenticating: string;
  /** Of everybody and without TLS; whoever comes this way may do everything. For looking behind the operator's back. */
  readonly plaintext: string;
  /** A super user, by SCRAM-SHA-512 and by PLAIN. */
  readonly admin: { readonly username: string; readonly password: string };
  /** The authority of the servers' certificates. */
  readonly caFile: string;
  /** One that signed nothing the broker knows. */
  readonly otherCaFile: string;
  /** Of `User:CN=admin`, a super user. */
  readonly adminCertificate: Certificate;
  /** Makes `User:CN=<name>`; without an ACL it may do nothing. Negative `days`: expired. */
  clientCertificate(name: string, days?: number): Certificate;
  /** One that the broker does not trust. */
  readonly strangersCertificate: Certificate;
  readonly authority: Authority;
}

const ADMIN = { username: "admin", password: "admin-password-of-the-tests" };

const LISTENERS = ["SASL_SSL", "MTLS", "EXPIRED", "OTHERHOST", "REAUTH"] as const;
type Listener = (typeof LISTENERS)[number];
const REAUTHENTICATE_MS = 3_000;

/** About five seconds. `kafka.remove()` ends it with its data and certificates. */
export async function startSecuredKafka(
  options: KafkaOptions,
): Promise<{ readonly kafka: Kafka; readonly place: SecuredKafkaPlace }> {
  const certificates = join(options.dir, "certificates");
  const authority = newAuthority(certificates, "ca");
  newAuthority(certificates, "other-ca");
  const stores = keystores(certificates, authority);
  const ports = await freePorts(LISTENERS.length);
  const listeners = LISTENERS.map((name, at): KafkaListener => {
    return { name, protocol: name === "MTLS" ? "SSL" : "SASL_SSL", port: ports[at] ?? 0 };
  });
  const addresses = Object.fromEntries(listeners.map(({ name, port }) => [name, `127.0.0.1:${port}`]));

  const kafka = await startKafka({
    ...options,
    listeners,
    users: { ...options.users, [ADMIN.username]: ADMIN.password },
    settings: { ...security(stores, authority.caFile), ...options.settings },
  });
  const place = {
    ...{ dir: options.dir, plaintext: kafka.bootstrapServers },
    addresses: addresses as SecuredKafkaPlace["addresses"],
  };
  return { kafka, place };
}

/** What to reach it with. `certificates`: an own folder for those that are signed here. */
export function securedKafkaAt({ dir, addresses, plaintext }: SecuredKafkaPlace, certificates: string): SecuredKafka {
  mkdirSync(certificates, { recursive: true });
  const authority = authorityIn(join(dir, "certificates"), "ca", certificates);
  const stranger = authorityIn(join(dir, "certificates"), "other-ca", certificates);
  return {
    ...{ dir, plaintext, authority },
    saslSsl: addresses.SASL_SSL,
    mtls: addresses.MTLS,
    expired: addresses.EXPIRED,
    otherHost: addresses.OTHERHOST,
    reauthenticating: addresses.REAUTH,
    admin: ADMIN,
    caFile: authority.caFile,
    otherCaFile: stranger.caFile,
    adminCertificate: authority.sign("admin"),
    strangersCertificate: stranger.sign("stranger"),
    clientCertificate: (name, days) => authority.sign(name, days === undefined ? {} : { days }),
  };
}

interface Keystores {
  readonly good: string;
  readonly expired: string;
  readonly otherHost: string;
}

function keystores(dir: string, authority: Authority): Keystores {
  const hosts = ["localhost", "127.0.0.1"];
  const store = (name: string, certificate: Certificate) =>
    pemKeystore(join(dir, `${name}.pem`), certificate, authority.caFile);
  return {
    good: store("server-store", authority.sign("server", { hosts })),
    expired: store("expired-store", authority.sign("expired-server", { hosts, days: -1 })),
    otherHost: store("other-host-store", authority.sign("other-server", { hosts: ["kafka.example.com"] })),
  };
}

/** A listener of its own for each kind of certificate; the same logins on all that take passwords. */
function security(stores: Keystores, caFile: string): Record<string, string> {
  return {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    // ANONYMOUS: the listeners without TLS, which the broker and its controller use among themselves.
    "super.users": `User:${ADMIN.username};User:CN=admin;User:ANONYMOUS`,
    // Delegation tokens are on, as on clusters that have them.
    "delegation.token.secret.key": "of-the-tests",
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": caFile,
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": stores.good,
    "listener.name.mtls.ssl.client.auth": "required",
    ...passwords("sasl_ssl", stores.good),
    ...passwords("expired", stores.expired),
    ...passwords("otherhost", stores.otherHost),
    ...passwords("reauth", stores.good),
    "listener.name.reauth.connections.max.reauth.ms": String(REAUTHENTICATE_MS),
  };
}

function passwords(listener: string, keystore: string): Record<string, string> {
  const login = "org.apache.kafka.common.security";
  return Object.fromEntries(
    Object.entries({
      "ssl.keystore.type": "PEM",
      "ssl.keystore.location": keystore,
      "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
      "scram-sha-512.sasl.jaas.config": `${login}.scram.ScramLoginModule required;`,
      "scram-sha-256.sasl.jaas.config": `${login}.scram.ScramLoginModule required;`,
      "plain.sasl.jaas.config": `${login}.plain.PlainLoginModule required user_${ADMIN.username}="${ADMIN.password}";`,
    }).map(([key, value]) => [`listener.name.${listener}.${key}`, value]),
  );
}
