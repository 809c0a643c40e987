import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SharedSecuredKafka, securedKafka } from "../../test/support/secured-kafka.ts";
import { WaitingError } from "../errors.ts";
import { connectKafka, type KafkaConnections } from "./connect-kafka.ts";
import type { KafkaServer } from "./kafka-link.ts";

let broker: SharedSecuredKafka;
let connections: KafkaConnections;
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-secrets-"));
beforeAll(async () => {
  broker = await securedKafka();
});
afterAll(async () => {
  await connections?.close();
  broker.remove();
});

const sasl = (password: string, mechanism: "ScramSha512" | "Plain" = "ScramSha512") => {
  const secretFile = join(folder, `${mechanism}-${password}.yaml`);
  writeFileSync(secretFile, JSON.stringify({ username: "admin", password }));
  return { mechanism, secretFile };
};
const good = () => sasl(broker.admin.password);
const tls = () => ({ caFile: broker.caFile });

/** One call, by a client of its own. */
async function look(server: Omit<KafkaServer, "name">): Promise<WaitingError | "answered"> {
  const own = connectKafka();
  try {
    await own.to({ name: "secured", ...server }).topics.observe("nothing");
    return "answered";
  } catch (error) {
    if (error instanceof WaitingError) return error;
    throw error;
  } finally {
    await own.close();
  }
}

describe("a secured cluster answers", () => {
  test.for(["ScramSha512", "Plain"] as const)("a login by %s", async (mechanism) => {
    const server = { bootstrapServers: [broker.saslSsl], tls: tls(), sasl: sasl(broker.admin.password, mechanism) };
    expect(await look(server)).toBe("answered");
  });

  test("a certificate", async () => {
    const server = { bootstrapServers: [broker.mtls], tls: { ...tls(), ...broker.adminCertificate } };
    expect(await look(server)).toBe("answered");
  });

  test("a secret that is a folder of files, each with a newline at its end", async () => {
    const secretFile = join(folder, "mounted");
    mkdirSync(secretFile);
    for (const [key, text] of Object.entries(broker.admin)) writeFileSync(join(secretFile, key), `${text}\n`);
    const server = { bootstrapServers: [broker.saslSsl], tls: tls(), sasl: { ...good(), secretFile } };
    expect(await look(server)).toBe("answered");
  });
});

describe("what is wrong with a link has a name", () => {
  const cases: readonly {
    readonly name: string;
    readonly server: () => Omit<KafkaServer, "name">;
    readonly reason: string;
    readonly says: RegExp;
  }[] = [
    {
      name: "an authority that signed nothing there",
      server: () => ({ bootstrapServers: [broker.saslSsl], tls: { caFile: broker.otherCaFile }, sasl: good() }),
      reason: "KafkaTlsFailed",
      says: /not trusted .* tls\.caFile/,
    },
    {
      name: "an expired certificate of the brokers",
      server: () => ({ bootstrapServers: [broker.expired], tls: tls(), sasl: good() }),
      reason: "KafkaTlsFailed",
      says: /brokers' certificate has expired/,
    },
    {
      name: "a certificate for another host",
      server: () => ({ bootstrapServers: [broker.otherHost], tls: tls(), sasl: good() }),
      reason: "KafkaTlsFailed",
      says: /another host name/,
    },
    {
      name: "no certificate where one is asked for",
      server: () => ({ bootstrapServers: [broker.mtls], tls: tls() }),
      reason: "KafkaTlsFailed",
      says: /refuse the client's certificate/,
    },
    {
      name: "a client's certificate of a strange authority",
      server: () => ({ bootstrapServers: [broker.mtls], tls: { ...tls(), ...broker.strangersCertificate } }),
      reason: "KafkaTlsFailed",
      says: /refuse the client's certificate/,
    },
    {
      name: "an expired client's certificate",
      server: () => ({ bootstrapServers: [broker.mtls], tls: { ...tls(), ...broker.clientCertificate("late", -1) } }),
      reason: "KafkaTlsFailed",
      says: /refuse the client's certificate/,
    },
    {
      name: "no TLS towards a broker that wants it, which is no topic that is missing",
      server: () => ({ bootstrapServers: [broker.saslSsl] }),
      reason: "KafkaTlsFailed",
      says: /one end speaks TLS/,
    },
    {
      name: "TLS towards a broker that has none",
      server: () => ({ bootstrapServers: [broker.plaintext], tls: tls() }),
      reason: "KafkaTlsFailed",
      says: /one end speaks TLS/,
    },
    {
      name: "a wrong password",
      server: () => ({ bootstrapServers: [broker.saslSsl], tls: tls(), sasl: sasl("wrong") }),
      reason: "KafkaUnauthorized",
      says: /refuse the login/,
    },
    {
      name: "a right that is missing",
      server: () => ({ bootstrapServers: [broker.mtls], tls: { ...tls(), ...broker.clientCertificate("nobody") } }),
      reason: "KafkaUnauthorized",
      says: /TOPIC_AUTHORIZATION_FAILED/,
    },
    {
      name: "nobody at the address",
      server: () => ({ bootstrapServers: ["127.0.0.1:1"], tls: tls() }),
      reason: "KafkaUnreachable",
      says: /ECONNREFUSED/,
    },
    {
      name: "a secret that is not there",
      server: () => ({
        bootstrapServers: [broker.saslSsl],
        tls: tls(),
        sasl: { mechanism: "ScramSha512", secretFile: join(folder, "none") },
      }),
      reason: "SecretMissing",
      says: /sasl\.secretFile of Kafka back-end secured cannot be read \(ENOENT\)/,
    },
    {
      name: "an authority's file that is not there",
      server: () => ({ bootstrapServers: [broker.saslSsl], tls: { caFile: join(folder, "none") }, sasl: good() }),
      reason: "SecretMissing",
      says: /tls\.caFile of Kafka back-end secured cannot be read/,
    },
  ];

  test.for(cases)("$name", async ({ server, reason, says }) => {
    const error = await look(server());
    expect(error).toMatchObject({ reason, message: expect.stringMatching(says) });
    // A tenant reads this: the back-end's name, never its address.
    expect((error as WaitingError).message).not.toMatch(/127\.0\.0\.1|:\d{4,5}/);
    expect((error as WaitingError).message).not.toContain(folder);
  });
});

test("a secret that changed is taken up without a restart", async () => {
  connections = connectKafka();
  const { mechanism, secretFile } = sasl("changes");
  const server = { name: "secured", bootstrapServers: [broker.saslSsl], tls: tls(), sasl: { mechanism, secretFile } };
  await expect(connections.to(server).topics.observe("nothing")).rejects.toMatchObject({ reason: "KafkaUnauthorized" });
  writeFileSync(secretFile, JSON.stringify(broker.admin));
  expect(await connections.to(server).topics.observe("nothing")).toBeUndefined();
});
