/** The policy routing of captured inbound connections, as netlink requests. Pure. Source: linux/rtnetlink.h, linux/fib_rules.h */
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  netlinkAttribute,
  netlinkMessage,
  netlinkNumber,
} from "@ambit/shared/platform";
import {
  DELIVERED_MARK,
  DELIVERY_RULE_PREFERENCE,
  MARK_MASK,
  PROXY_MARK,
  REPLY_RULE_PREFERENCE,
  ROUTE_TABLE,
} from "./redirect-constants.ts";

export type Family = 4 | 6;

/** One change, with the words for an error message. */
export interface RoutingRequest {
  readonly what: string;
  readonly message: Buffer;
}

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const FR_ACT_TO_TBL = 1;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const RTA_OIF = 4;
const RTA_TABLE = 15;
const RTPROT_STATIC = 4;
const RT_SCOPE_HOST = 254;
const RTN_LOCAL = 2;
/** `lo` is the first interface of every namespace. Source: linux/net_namespace.h LOOPBACK_IFINDEX */
const LOOPBACK_INDEX = 1;
const LOOPBACK_NAME = Buffer.from("lo\0");

/** A rule of policy routing: what it matches besides the family. */
interface Rule {
  readonly preference: number;
  readonly mark: number;
  readonly overLoopback: boolean;
}

const RULES: readonly Rule[] = [
  { preference: REPLY_RULE_PREFERENCE, mark: DELIVERED_MARK, overLoopback: false },
  { preference: DELIVERY_RULE_PREFERENCE, mark: PROXY_MARK, overLoopback: true },
];

/** Adding says EEXIST when it is there already, which is how it is checked too. Route first: a rule to an empty table falls through. */
export function addRouting(families: readonly Family[]): RoutingRequest[] {
  const flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  return families.flatMap((family) => [
    { what: `add ${routeText(family)}`, message: routeMessage(RTM_NEWROUTE, flags, family) },
    ...RULES.map((rule) => ({
      what: `add ${ruleText(family, rule)}`,
      message: ruleMessage(RTM_NEWRULE, flags, family, rule),
    })),
  ]);
}

export function deleteRouting(families: readonly Family[]): RoutingRequest[] {
  return families.flatMap((family) => [
    ...RULES.map((rule) => ({
      what: `delete ${ruleText(family, rule)}`,
      message: ruleMessage(RTM_DELRULE, NLM_F_ACK, family, rule),
    })),
    { what: `delete ${routeText(family)}`, message: routeMessage(RTM_DELROUTE, NLM_F_ACK, family) },
  ]);
}

const familyNumber = (family: Family): number => (family === 4 ? 2 : 10);
const routeText = (family: Family): string => `IPv${family} route local default dev lo table ${ROUTE_TABLE}`;
const ruleText = (family: Family, { mark, overLoopback }: Rule): string =>
  `IPv${family} rule fwmark 0x${mark.toString(16)}/0x${MARK_MASK.toString(16)}${overLoopback ? " oif lo" : ""} lookup ${ROUTE_TABLE}`;

/** struct fib_rule_hdr: family, dst_len, src_len, tos, table, two reserved, action, flags. */
function ruleMessage(type: number, flags: number, family: Family, rule: Rule): Buffer {
  const header = Buffer.from([familyNumber(family), 0, 0, 0, ROUTE_TABLE, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0]);
  return netlinkMessage(
    type,
    flags,
    header,
    netlinkNumber(FRA_PRIORITY, rule.preference),
    netlinkNumber(FRA_FWMARK, rule.mark),
    netlinkNumber(FRA_FWMASK, MARK_MASK),
    netlinkNumber(FRA_TABLE, ROUTE_TABLE),
    ...(rule.overLoopback ? [netlinkAttribute(FRA_OIFNAME, LOOPBACK_NAME)] : []),
  );
}

/** struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags. */
function routeMessage(type: number, flags: number, family: Family): Buffer {
  const header = Buffer.from([
    ...[familyNumber(family), 0, 0, 0],
    ...[ROUTE_TABLE, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL],
    ...[0, 0, 0, 0],
  ]);
  return netlinkMessage(
    type,
    flags,
    header,
    netlinkNumber(RTA_TABLE, ROUTE_TABLE),
    netlinkNumber(RTA_OIF, LOOPBACK_INDEX),
  );
}
