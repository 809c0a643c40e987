import { createRequire } from "node:module";

/**
 * The parts of kafkajs below its public API that we use. They are not promised to anybody, but 2.2.4 is its last release
 * (2023-02) and the version is pinned; the contract suite runs on them.
 */

export interface KafkaJsRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  encode(): Promise<unknown>;
}

export interface KafkaJsConnection {
  readonly socket: { destroy(): void } | undefined;
  readonly requestQueue: {
    readonly pending: readonly unknown[];
    readonly throttledUntil: number;
    scheduleCheckPendingRequests(): void;
  };
  /** Milliseconds after which the broker wants the login again; 0 never. */
  readonly sessionLifetime: { toString(): string };
  isConnected(): boolean;
  isAuthenticated(): boolean;
  connect(): Promise<unknown>;
  disconnect(): Promise<unknown>;
  rejectRequests(error: Error): void;
  setVersions(versions: unknown): void;
  setSupportAuthenticationProtocol(isSupported: boolean): void;
  send<Decoded extends object>(protocol: {
    request: KafkaJsRequest;
    response: { decode(payload: Buffer): Promise<Decoded>; parse(decoded: Decoded): Promise<Decoded> };
    logResponseError?: boolean;
  }): Promise<Decoded>;
}

export interface KafkaJsBroker {
  /** By API key, once connected. */
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null;
  connect(): Promise<void>;
  findGroupCoordinator(of: { groupId: string; coordinatorType: number }): Promise<{
    coordinator: { nodeId: number; host: string; port: number };
  }>;
  joinGroup(of: {
    groupId: string;
    sessionTimeout: number;
    rebalanceTimeout: number;
    memberId: string;
    groupProtocols: { name: string; metadata: Buffer }[];
  }): Promise<{
    generationId: number;
    leaderId: string;
    memberId: string;
    members: { memberId: string; memberMetadata: Buffer }[];
  }>;
  syncGroup(of: {
    groupId: string;
    generationId: number;
    memberId: string;
    groupAssignment: { memberId: string; memberAssignment: Buffer }[];
  }): Promise<{ memberAssignment: Buffer }>;
  heartbeat(of: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>;
  leaveGroup(of: { groupId: string; memberId: string }): Promise<unknown>;
  offsetCommit(of: {
    groupId: string;
    groupGenerationId: number;
    memberId: string;
    topics: { topic: string; partitions: { partition: number; offset: string }[] }[];
  }): Promise<unknown>;
  describeConfigs(of: { resources: { type: number; name: string; configNames: string[] }[] }): Promise<{
    resources: { configEntries: { configName: string; configValue: string | null }[] }[];
  }>;
  listOffsets(of: {
    replicaId: number;
    isolationLevel: number;
    topics: { topic: string; partitions: { partition: number; timestamp: number }[] }[];
  }): Promise<{ responses: { partitions: { offset: string }[] }[] }>;
}

interface Encoder {
  writeBufferInternal(bytes: Buffer): void;
}

const load = createRequire(import.meta.url);

export const Connection: new (options: Record<string, unknown>) => KafkaJsConnection = load(
  "kafkajs/src/network/connection",
);
export const Broker: new (options: Record<string, unknown>) => KafkaJsBroker = load("kafkajs/src/broker");
export const Encoder: new (size: number) => Encoder = load("kafkajs/src/protocol/encoder");
export const socketFactory: () => unknown = load("kafkajs/src/network/socketFactory");
export const crc32c: (data: Buffer) => number = load("kafkajs/src/protocol/recordBatch/crc32C");
export const murmur2: (key: Buffer) => number = load("kafkajs/src/producer/partitioners/default/murmur2");
