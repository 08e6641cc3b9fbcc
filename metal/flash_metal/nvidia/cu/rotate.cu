// Launch 1 of a wide pass, after its product: a warp makes one head of one token. y [M, (H + 2 HK) D].
const int head = blockIdx.x, m = blockIdx.y * WARPS + threadIdx.y;
Turn<D> turn(frequency, position);
turn.make(m);
earlier();
if (m < tokens) {
  finish_head<H, HK, D, HEAD_NORM>(y + (m * (H + 2 * HK) + head) * D, m, head, tokens, head_norm, turn,
                                   eps[0], q, rows);
}
