import { readFileSync } from "node:fs";
import { Admin, type AdminOptions } from "@platformatic/kafka";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SharedSecuredKafka, securedKafka } from "../../test/support/secured-kafka.ts";
import type { Certificate } from "./certificates.ts";

let broker: SharedSecuredKafka;
beforeAll(async () => {
  broker = await securedKafka();
});
afterAll(() => broker.remove());

type Link = Pick<AdminOptions, "tls" | "sasl">;

async function topicsOf(address: string, link: Link): Promise<string[]> {
  const admin = new Admin({
    clientId: "test",
    bootstrapBrokers: [address],
    retries: 0,
    connectTimeout: 5_000,
    ...link,
  });
  try {
    return await admin.listTopics();
  } finally {
    await admin.close();
  }
}

const trusted = (certificate?: Certificate) => ({
  ca: readFileSync(broker.caFile, "utf8"),
  ...(certificate === undefined
    ? {}
    : { cert: readFileSync(certificate.certFile, "utf8"), key: readFileSync(certificate.keyFile, "utf8") }),
});
const scram = (password: string) => ({ mechanism: "SCRAM-SHA-512", username: "admin", password }) as const;

describe("the secured broker", () => {
  test.for(["SCRAM-SHA-512", "PLAIN"] as const)("lets the admin in by %s", async (mechanism) => {
    const { username, password } = broker.admin;
    const sasl = { mechanism, username, password };
    expect(await topicsOf(broker.saslSsl, { tls: trusted(), sasl })).toBeInstanceOf(Array);
  });

  test("lets in who shows a certificate of its authority, and nobody without", async () => {
    expect(await topicsOf(broker.mtls, { tls: trusted(broker.adminCertificate) })).toBeInstanceOf(Array);
    await expect(topicsOf(broker.mtls, { tls: trusted() })).rejects.toThrow();
    await expect(topicsOf(broker.mtls, { tls: trusted(broker.strangersCertificate) })).rejects.toThrow();
    await expect(topicsOf(broker.mtls, { tls: trusted(broker.clientCertificate("late", -1)) })).rejects.toThrow();
  });

  test("keeps out a wrong password", async () => {
    await expect(topicsOf(broker.saslSsl, { tls: trusted(), sasl: scram("wrong") })).rejects.toThrow();
  });

  test("gives a client with no ACL nothing", async () => {
    const client = { tls: trusted(broker.clientCertificate("nobody")) };
    const admin = new Admin({ clientId: "test", bootstrapBrokers: [broker.mtls], retries: 0, ...client });
    await expect(admin.createTopics({ topics: ["made-by-nobody"], partitions: 1, replicas: 1 })).rejects.toThrow();
    await admin.close();
    expect(await topicsOf(broker.plaintext, {})).not.toContain("made-by-nobody");
  });

  test("has certificates that must not be believed", async () => {
    const link = { tls: trusted(), sasl: scram(broker.admin.password) };
    await expect(topicsOf(broker.expired, link)).rejects.toThrow();
    await expect(topicsOf(broker.otherHost, link)).rejects.toThrow();
    const other = { ...link, tls: { ca: readFileSync(broker.otherCaFile, "utf8") } };
    await expect(topicsOf(broker.saslSsl, other)).rejects.toThrow();
  });
});
