"""What a trained model is worth: metrics, model selection without target labels, transferability."""
