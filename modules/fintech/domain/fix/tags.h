// Tags that the session layer itself reads and writes, by the names of FIX 4.4. Constants; any thread.
#pragma once

#include <cstdint>

namespace heptane::fix {

enum Tag : int32_t {
  kBeginSeqNo = 7,
  kBeginString = 8,
  kBodyLength = 9,
  kCheckSum = 10,
  kEndSeqNo = 16,
  kMsgSeqNum = 34,
  kMsgType = 35,
  kNewSeqNo = 36,
  kPossDupFlag = 43,
  kRefSeqNum = 45,
  kSenderCompID = 49,
  kSendingTime = 52,
  kTargetCompID = 56,
  kText = 58,
  kPossResend = 97,
  kEncryptMethod = 98,
  kHeartBtInt = 108,
  kTestReqID = 112,
  kOnBehalfOfCompID = 115,
  kOnBehalfOfSubID = 116,
  kOrigSendingTime = 122,
  kGapFillFlag = 123,
  kDeliverToCompID = 128,
  kDeliverToSubID = 129,
  kResetSeqNumFlag = 141,
  kOnBehalfOfLocationID = 144,
  kDeliverToLocationID = 145,
  kRefTagID = 371,
  kRefMsgType = 372,
  kSessionRejectReason = 373,
  kBusinessRejectReason = 380,
};

}  // namespace heptane::fix
