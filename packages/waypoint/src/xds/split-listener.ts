/** Takes a listener apart without decoding its filter chains, which are most of it and mostly the same as before. */
import { type Matcher, MatcherSchema } from "@ambit/envoy-api/xds/type/matcher/v3/matcher";
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

export interface ListenerParts {
  readonly chains: readonly Uint8Array[];
  readonly matcher: Matcher | undefined;
  readonly hasDefaultChain: boolean;
}

/** Field numbers of envoy.config.listener.v3.Listener. */
const FILTER_CHAINS = 3;
const DEFAULT_FILTER_CHAIN = 25;
const FILTER_CHAIN_MATCHER = 32;

/** Throws on bytes that are no message. */
export function splitListener(bytes: Uint8Array): ListenerParts {
  const chains: Uint8Array[] = [];
  let matcher: Matcher | undefined;
  let hasDefaultChain = false;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType !== WireType.LengthDelimited) {
      reader.skip(wireType, field);
      continue;
    }
    const value = reader.bytes();
    if (field === FILTER_CHAINS) chains.push(value);
    if (field === DEFAULT_FILTER_CHAIN) hasDefaultChain = true;
    if (field === FILTER_CHAIN_MATCHER) matcher = fromBinary(MatcherSchema, value);
  }
  return { chains, matcher, hasDefaultChain };
}
