"""The fast path on a CUDA GPU: prepare, encode, ground and draw as captured graphs, masks as COCO bytes on the device.

`fast_path` puts it together; everything else here serves it. Nothing in this room is needed on other devices, and all
of it but the Triton kernels also runs on a CPU, which is how it is tested.
"""
