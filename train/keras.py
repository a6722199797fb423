"""TensorFlow and Keras 2, imported in the only way that works for both training and conversion.

TensorFlow's quantisation tools need Keras 2 (`tf_keras`), and on CPUs it trains about twice as fast as Keras 3.
"""

import os

from osteolite.edge.silence import quiet_stderr

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

with quiet_stderr():  # TensorFlow prints a dozen lines about CUDA and oneDNN
    import tensorflow as tf
    import tf_keras as keras
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    tf.config.list_physical_devices()

__all__ = ["Calibrator", "keras", "mlir_quantize", "tf"]
