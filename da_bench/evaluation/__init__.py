"""Evaluation of trained models: metrics, model selection without target labels (validators), transferability."""
