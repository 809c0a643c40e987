import { setTimeout as sleep } from "node:timers/promises";
import { crc32c } from "@platformatic/kafka";
import { expect, onTestFinished, test } from "vitest";
import { GroupMembership } from "./membership.ts";
import { ConnectionError, type JoinRequest, type KafkaProtocol, type SyncRequest } from "./protocol.ts";

const unused = (): never => {
  throw new Error("not part of membership");
};

/** Takes the one member in, and answers as told. */
const coordinator = (answers: Pick<KafkaProtocol, "heartbeat"> & Partial<KafkaProtocol>): KafkaProtocol => ({
  findCoordinator: async () => ({ nodeId: 1, host: "h", port: 1 }),
  joinGroup: async (_broker: unknown, { memberId, subscription }: JoinRequest) => ({
    errorCode: 0,
    generationId: 1,
    memberId: memberId || "m",
    leader: "m",
    members: [{ memberId: "m", subscription }],
  }),
  syncGroup: async (_broker: unknown, { assignments }: SyncRequest) => assignments[0]?.assignment ?? Buffer.alloc(0),
  leaveGroup: async () => undefined,
  metadata: unused,
  commitOffsets: unused,
  fetch: unused,
  offsetRange: unused,
  produce: unused,
  topicSetting: unused,
  decompress: unused,
  crc32c,
  close: unused,
  ...answers,
});

const SESSION_MS = 500;

async function joined(protocol: KafkaProtocol, heartbeatIntervalMs: number) {
  const times = { sessionTimeoutMs: SESSION_MS, rebalanceTimeoutMs: 1_000, heartbeatIntervalMs };
  const options = { topic: "t", groupId: "g", maxBytes: 1, maxBytesPerPartition: 1, ...times };
  const lost = Promise.withResolvers<number>();
  const handlers = {
    assigned: async () => undefined,
    revoked: async () => undefined,
    lost: () => lost.resolve(performance.now()),
  };
  const membership = new GroupMembership(protocol, options, handlers, () => 1);
  onTestFinished(() => membership.leave());
  await membership.join();
  return { membership, lost: lost.promise };
}

test("is lost when the session has run out, and not a heartbeat interval later", async () => {
  const noAnswer = async () => {
    throw new ConnectionError("no answer");
  };
  const { membership, lost } = await joined(coordinator({ heartbeat: noAnswer }), 450);
  const lastMs = membership.lastHeartbeatMs;
  const silentMs = (await lost) - lastMs;
  expect(silentMs).toBeGreaterThanOrEqual(SESSION_MS);
  expect(silentMs).toBeLessThan(SESSION_MS + 350);
});

test("stays a member of a coordinator whose answers take most of a session", async () => {
  const heartbeat = () => sleep(0.7 * SESSION_MS);
  const { lost } = await joined(coordinator({ heartbeat }), 0.5 * SESSION_MS);
  expect(await Promise.race([lost, sleep(6 * SESSION_MS, "still a member")])).toBe("still a member");
});

test("stays a member where the others kept it waiting for longer than a session", async () => {
  const answers = coordinator({ heartbeat: async () => undefined });
  const waiting: KafkaProtocol = {
    ...answers,
    syncGroup: (...args) => sleep(2 * SESSION_MS).then(() => answers.syncGroup(...args)),
  };
  const { lost } = await joined(waiting, 0.3 * SESSION_MS);
  expect(await Promise.race([lost, sleep(3 * SESSION_MS, "still a member")])).toBe("still a member");
});
