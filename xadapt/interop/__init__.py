"""Modules from and for other libraries: one file a direction.

    peft_in, peft_out           a PEFT LoRA folder
    adapters_in, adapters_out   a folder of AdapterHub's ``adapters``: bottlenecks, with their composition
    merged                      plain HF weights, with no trace of xadapt
    onnx_out                    files for onnxruntime, in float32 and int8, proved against xadapt's own logits

What a format cannot say, or xadapt cannot mount, is refused by its name. Nothing is unpickled.
"""
