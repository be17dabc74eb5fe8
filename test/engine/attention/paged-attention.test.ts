import { describePagedAttention } from '../../conformance/paged-attention.js';
import { poisonedKernel, poisonedReference } from '../../support/poisoned-attention.js';

describePagedAttention('the reference', poisonedReference);
describePagedAttention('the kernel', poisonedKernel);
